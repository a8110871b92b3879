"""A project of two functions and one layer, with everything that may invoke a function."""

from pathlib import Path

from local.aws.functions import Functions
from local.aws.template import Template

TEMPLATE = """
AWSTemplateFormatVersion: "2010-09-09"
Transform: AWS::Serverless-2016-10-31
Parameters:
  Color: {Type: String}
  Size: {Type: Number, Default: 7}
  CorsOrigins: {Type: String, Default: ""}
Conditions:
  AllowsOrigins: !Not [!Equals [!Ref CorsOrigins, ""]]
Globals:
  Function:
    Runtime: python3.13
    Timeout: 10
    Layers: [!Ref SharedLayer]
    Environment: {Variables: {COLOR: !Ref Color, SIZE: !Ref Size}}
Resources:
  Api:
    Type: AWS::Serverless::HttpApi
    Properties:
      CorsConfiguration: !If
        - AllowsOrigins
        - AllowOrigins: !Split [",", !Ref CorsOrigins]
          AllowMethods: [GET, POST]
          AllowHeaders: [authorization]
          ExposeHeaders: [etag, link]
          MaxAge: 3600
        - !Ref AWS::NoValue
  SharedLayer:
    Type: AWS::Serverless::LayerVersion
    Properties: {ContentUri: shared/}
  EchoFunction:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: functions/echo/
      Handler: functions.echo.handler.lambda_handler
      Events:
        Get: {Type: HttpApi, Properties: {ApiId: !Ref Api, Method: GET, Path: "/echo/{name}"}}
        Post: {Type: HttpApi, Properties: {ApiId: !Ref Api, Method: POST, Path: /echo}}
  ReadLetterFunction:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: functions/read_letter/
      Handler: functions.read_letter.handler.lambda_handler
      Events:
        Often: {Type: ScheduleV2, Properties: {ScheduleExpression: !Sub "rate(${Size} minutes)"}}
        Nightly: {Type: ScheduleV2, Properties: {ScheduleExpression: "cron(0 3 * * ? *)"}}
        Paused: {Type: ScheduleV2, Properties: {ScheduleExpression: rate(1 minute), State: DISABLED}}
        Queue:
          Type: SQS
          Properties:
            Queue: !GetAtt Letters.Arn
            BatchSize: 3
            FunctionResponseTypes: [ReportBatchItemFailures]
  Letters:
    Type: AWS::SQS::Queue
    Properties: {RedrivePolicy: {deadLetterTargetArn: !GetAtt Dead.Arn, maxReceiveCount: 2}}
  Dead: {Type: AWS::SQS::Queue}
  Rule:
    Type: AWS::Events::Rule
    Properties:
      EventPattern: {source: [post], detail: {kind: [letter, card]}}
      Targets: [{Id: Letters, Arn: !GetAtt Letters.Arn}]
"""

_ECHO = """
import json, os, time
from shared.words import GREETING

def lambda_handler(event, context):
    query = event.get("queryStringParameters") or {}
    if "fail" in query:
        raise ValueError("a secret of the code")
    time.sleep(float(query.get("sleep", 0)))
    answer = {"greeting": GREETING, "pid": os.getpid(), "event": event}
    return {"statusCode": 200, "headers": {"X-Sample": "yes"}, "body": json.dumps(answer)}
"""

_READ_LETTER = """
import json, os

def lambda_handler(event, context):
    if "Records" not in event:
        color = os.environ["SHADE"] + os.environ["COLOR"]
        return {"color": color, "size": os.environ["SIZE"], "half": 1 / event["divisor"]}
    for record in event["Records"]:
        print("read", json.loads(record["body"])["detail"]["text"])
    return {"batchItemFailures": []}
"""


class SampleProject:
    """Its functions, which may be invoked, and the lines that the console would show."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.lines: list[str] = []
        self.write("template.yaml", TEMPLATE)
        self.write("functions/echo/handler.py", _ECHO)
        self.write("functions/read_letter/handler.py", _READ_LETTER)
        self.write("shared/words.py", 'GREETING = "hello"\n')
        self.template = Template(root / "template.yaml", {"Color": "green"})
        self.functions = Functions(
            self.template, concurrency=2, log=self.lines.append, variables={"SHADE": "dark"}
        )

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
