"""What stands for AWS on one machine: API Gateway, Lambda, EventBridge, SQS, schedules, the template."""
