"""What rings, what is logged and what the dashboard shows."""

import json
import re
from typing import Any

import pytest

from shared.platform import metrics as metrics_sent
from tests.documents import ROOT
from tests.unit.deploy.sam_template import Resource, functions, of_type, ref, without_traffic
from tests.unit.documents.test_names import CONTRACT, TEMPLATE, resource_of


def alarms(resources: dict[str, Resource]) -> dict[str, dict[str, Any]]:
    return of_type(resources, "AWS::CloudWatch::Alarm")


def composites(resources: dict[str, Resource]) -> dict[str, dict[str, Any]]:
    return of_type(resources, "AWS::CloudWatch::CompositeAlarm")


def parts(composite: dict[str, Any]) -> list[str]:
    """The alarms that have to ring for a composite one to ring."""
    return re.findall(r'ALARM\("\$\{(\w+)\}"\)', composite["AlarmRule"]["Fn::Sub"])


def ringing(resources: dict[str, Resource]) -> dict[str, dict[str, Any]]:
    """All alarms but those that are only a part of another one."""
    silent = {part for composite in composites(resources).values() for part in parts(composite)}
    everything = alarms(resources) | composites(resources)
    return {name: alarm for name, alarm in everything.items() if name not in silent}


def metrics(alarm: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {query["Id"]: query["MetricStat"] for query in alarm["Metrics"] if "MetricStat" in query}


def watched(alarm: dict[str, Any], metric: str) -> dict[str, str]:
    """The resources whose metric an alarm looks at, by the metric's id in its expression."""
    return {
        id_: ref(stat["Metric"]["Dimensions"][0]["Value"])
        for id_, stat in metrics(alarm).items()
        if stat["Metric"]["MetricName"] == metric
    }


def test_every_alarm_tells_somebody(resources: dict[str, Resource]) -> None:
    for_deploys = {"ApiFailuresAlarm"}  # FastBurn tells of the same, where it matters
    for name, alarm in ringing(resources).items():
        told = [None, None] if name in for_deploys else [[{"Ref": "Alerts"}]] * 2
        assert [alarm.get("AlarmActions"), alarm.get("OKActions")] == told, name
        assert alarm["AlarmDescription"], name
    listening = {
        "AccessTokenKeysAlarm",
        "AlertLagAlarm",
        "CatalogPollsAlarm",
        "ExternalCheckAlarm",
        "SchedulesAlarm",
    }
    for name, alarm in alarms(resources).items():
        silence = "breaching" if name in listening else "notBreaching"
        assert alarm["TreatMissingData"] == silence, name


def test_the_error_budget_rings_by_how_fast_it_burns(resources: dict[str, Resource]) -> None:
    budget, month = 0.1, 30 * 24  # percent of the answers, and hours
    for name, rate, used in (("FastBurnAlarm", 14.4, 0.02), ("SlowBurnAlarm", 6, 0.05)):
        long, short = (alarms(resources)[part] for part in parts(composites(resources)[name]))
        hours = [{stat["Period"] / 3600 for stat in metrics(alarm).values()} for alarm in (long, short)]
        assert hours == [{rated := used * month / rate}, {rated / 12}]
        assert long["Threshold"] == short["Threshold"] == pytest.approx(rate * budget)
        assert "AlarmActions" not in long | short


def test_what_api_gateway_itself_refuses_rings(resources: dict[str, Resource]) -> None:
    pattern = of_type(resources, "AWS::Logs::MetricFilter")["ApiRefusalsMetric"]["FilterPattern"]
    assert '$.integration_status = "-"' in pattern
    assert '$.status = "429" || $.status = "5*"' in pattern
    (stat,) = metrics(alarms(resources)["RefusalsAlarm"]).values()
    assert stat["Metric"]["MetricName"] == "ApiRefusals"


def test_a_check_from_outside_rings_where_its_metric_is(transformed: dict[str, Any]) -> None:
    check = transformed["Resources"]["HealthCheck"]["Properties"]["HealthCheckConfig"]
    assert (check["Type"], check["ResourcePath"], check["EnableSNI"]) == ("HTTPS", "/health", True)
    assert len(check["Regions"]) == 3
    assert {"Fn::Equals": [{"Ref": "AWS::Region"}, "us-east-1"]} in transformed["Conditions"][
        transformed["Resources"]["ExternalCheckAlarm"]["Condition"]
    ]["Fn::And"]


def test_a_budget_tells_somebody(resources: dict[str, Resource]) -> None:
    budget = resources["Budget"]["Properties"]
    assert budget["Budget"]["BudgetLimit"] == {"Amount": {"Ref": "MonthlyBudget"}, "Unit": "USD"}
    kinds = {it["Notification"]["NotificationType"] for it in budget["NotificationsWithSubscribers"]}
    assert kinds == {"ACTUAL", "FORECASTED"}
    for notification in budget["NotificationsWithSubscribers"]:
        assert [it["Address"] for it in notification["Subscribers"]] == [{"Ref": "AlertsEmail"}]


POLL_SECONDS: dict[str, int] = TEMPLATE["Mappings"]["CatalogPolls"]["Seconds"]


def test_three_polls_of_six_that_are_missed_are_an_alarm_however_often_there_is_one(
    written: dict[str, Any],
) -> None:
    allowed = written["Parameters"]["CatalogPollMinutes"]["AllowedValues"]
    assert {str(minutes): minutes * 60 for minutes in allowed} == POLL_SECONDS
    alarm = written["Resources"]["CatalogPollsAlarm"]["Properties"]
    assert (alarm["DatapointsToAlarm"], alarm["EvaluationPeriods"]) == (3, 6)
    assert alarm["TreatMissingData"] == "breaching"


def test_the_page_for_operators_says_what_each_alarm_means(resources: dict[str, Resource]) -> None:
    page = (ROOT / "docs" / "operating.md").read_text()
    told = dict(re.findall(r"^\| `(\w+)`( [¹²³])? \|", page, re.MULTILINE))
    assert told.keys() == {name.removesuffix("Alarm") for name in ringing(resources)}
    taking_back = resources["LoginFunctionDeploymentGroup"]["Properties"]["AlarmConfiguration"]["Fn::If"][1]
    expected = {ref(alarm["Name"]).removesuffix("Alarm") for alarm in taking_back["Alarms"]}
    assert {name for name, mark in told.items() if mark == " ¹"} == expected
    for sign, condition in ((" ²", "KeepsHot"), (" ³", "IsCheckedFromHere")):
        conditional = {name for name in told if resources[f"{name}Alarm"].get("Condition") == condition}
        assert {name for name, mark in told.items() if mark == sign} == conditional


def test_no_alarm_is_beyond_what_cloudwatch_takes(resources: dict[str, Resource]) -> None:
    assert 12 <= len(ringing(resources)) <= 24
    for name, alarm in alarms(resources).items():
        assert len(metrics(alarm)) <= 10, name
        assert len(alarm["Metrics"]) <= 20, name
        assert sum(query.get("ReturnData", True) for query in alarm["Metrics"]) == 1, name
        for query in alarm["Metrics"]:
            names = re.findall(r"[a-z_]\w*", query.get("Expression", ""))
            assert set(names) <= {other["Id"] for other in alarm["Metrics"]}, name
        for stat in metrics(alarm).values():
            fixed = stat["Period"]
            for period in [fixed] if isinstance(fixed, int) else POLL_SECONDS.values():
                assert period % 60 == 0
                assert period * alarm["EvaluationPeriods"] <= (86_400 if period < 3_600 else 604_800), name


def test_every_function_that_no_request_waits_for_is_watched(
    written: dict[str, Any], resources: dict[str, Resource]
) -> None:
    of_the_api = {resource_of(folder) for folder in CONTRACT.values()}
    # A deploy waits for some, and the age of the keys tells of their rotation.
    others = functions(resources).keys() - of_the_api - without_traffic(written)
    errors = {name for alarm in alarms(resources).values() for name in watched(alarm, "Errors").values()}
    assert errors == others
    assert set(watched(alarms(resources)["ThrottlesAlarm"], "Throttles").values()) == others


def minutes_between(function: dict[str, Any], poll: int) -> int:
    """The minutes between two runs of a function's schedule; 0 where events invoke it."""
    (event,) = function["Events"].values()
    if event["Type"] != "ScheduleV2":
        return 0
    rate = event["Properties"]["ScheduleExpression"]
    text = rate if isinstance(rate, str) else rate["Fn::Sub"].replace("${CatalogPollMinutes}", str(poll))
    return int(re.fullmatch(r"rate\((\d+) minutes?\)", text)[1])  # type: ignore[index]


@pytest.mark.parametrize("poll", [seconds // 60 for seconds in POLL_SECONDS.values()])
def test_a_function_that_fails_every_time_rings_however_seldom_it_runs(
    written: dict[str, Any], resources: dict[str, Resource], poll: int
) -> None:
    for name, alarm in alarms(resources).items():
        periods = alarm["EvaluationPeriods"]
        needed = alarm.get("DatapointsToAlarm", periods)
        for id_, function in watched(alarm, "Errors").items():
            between = minutes_between(written["Resources"][function]["Properties"], poll)
            fixed = metrics(alarm)[id_]["Period"]
            minutes = (fixed if isinstance(fixed, int) else POLL_SECONDS[str(poll)]) / 60
            failing = periods if not between else min(periods, periods * minutes // between)
            assert failing >= needed, f"{name}: {function} runs every {between} minutes"


def test_errors_are_a_share_of_the_same_functions_invocations(resources: dict[str, Resource]) -> None:
    alarm = alarms(resources)["EventErrorsAlarm"]
    errors, calls = watched(alarm, "Errors"), watched(alarm, "Invocations")
    pairs = re.findall(r"100 \* FILL\((\w+), 0\) / (\w+)", alarm["Metrics"][0]["Expression"])
    assert len(pairs) == len(errors) == len(calls)
    assert all(errors[failed] == calls[called] for failed, called in pairs)


def test_what_the_alarms_on_the_api_count_is_in_its_access_log(resources: dict[str, Resource]) -> None:
    (stage,) = of_type(resources, "AWS::ApiGatewayV2::Stage").values()
    line = access_log_line(stage)
    filters = of_type(resources, "AWS::Logs::MetricFilter")
    counted = set()
    for name, properties in filters.items():
        assert ref(properties["LogGroupName"]) == "ApiLogGroup"
        assert set(re.findall(r"\$\.(\w+)", properties["FilterPattern"])) <= line.keys(), name
        (made,) = properties["MetricTransformations"]
        assert name == made["MetricName"] + "Metric"
        counted.add(made["MetricName"])
    looked_at = {
        stat["Metric"]["MetricName"]
        for alarm in alarms(resources).values()
        for stat in metrics(alarm).values()
        if "Favorites/" in json.dumps(stat["Metric"]["Namespace"]) and "Dimensions" not in stat["Metric"]
    }
    assert looked_at == counted


def test_both_dead_letter_queues_are_watched(resources: dict[str, Resource]) -> None:
    alarm = alarms(resources)["DeadLettersAlarm"]
    assert (alarm["Threshold"], alarm["ComparisonOperator"]) == (0, "GreaterThanThreshold")
    assert set(watched(alarm, "ApproximateNumberOfMessagesVisible").values()) == {
        "CatalogEventsDeadLetters",
        "FailedInvocations",
    }


def test_the_metrics_of_our_own_are_those_that_the_code_sends(resources: dict[str, Resource]) -> None:
    sent = {
        name
        for path in (ROOT / "shared").rglob("*.py")
        for name in re.findall(r'"((?:[A-Z][a-z]+){2,})"(?:: \(|\)|, )', path.read_text())
    }
    assert {"OutboxLag", "ProductAnswers"} <= sent
    for name, alarm in alarms(resources).items():
        for stat in metrics(alarm).values():
            metric = stat["Metric"]
            if "Favorites/" in json.dumps(metric["Namespace"]) and "Dimensions" in metric:
                assert metric["MetricName"] in sent, name
                assert metric["Dimensions"][0] == {"Name": "service", "Value": "favorites"}
    namespace = {"Fn::Sub": "Favorites/${AWS::StackName}"}
    for function in functions(resources).values():
        assert function["Environment"]["Variables"]["POWERTOOLS_METRICS_NAMESPACE"] == namespace


def test_keys_that_are_not_rotated_are_missed_before_the_next_rotation(
    resources: dict[str, Resource],
) -> None:
    alarm = alarms(resources)["AccessTokenKeysAlarm"]
    day = 86_400
    assert 30 * day < alarm["Threshold"] < 60 * day
    (stat,) = metrics(alarm).values()
    assert stat["Period"] == day
    look = resources["RotateAccessTokenKeysFunctionLook"]["Properties"]
    assert look["ScheduleExpression"] == "rate(1 day)"
    assert json.loads(look["Target"]["Input"]["Fn::Sub"]) == {"SecretId": "${AccessTokenKeys}"}


def test_every_log_is_kept_for_a_time_without_lambdas_own_lines_and_with_metrics(
    resources: dict[str, Resource], capsys: pytest.CaptureFixture[str]
) -> None:
    for name, group in of_type(resources, "AWS::Logs::LogGroup").items():
        assert group["RetentionInDays"]["Fn::FindInMap"][0] == "Stages", name
    for name, function in functions(resources).items():
        condition, debugging, config = function["LoggingConfig"]["Fn::If"]
        assert condition == "Debugs"
        assert debugging["LogGroup"] == config["LogGroup"] == {"Ref": "FunctionsLogGroup"}, name
        levels = (config["SystemLogLevel"], config["ApplicationLogLevel"])
        assert (config["LogFormat"], *levels) == ("JSON", "WARN", "INFO")
    # Lambda takes a line without a level for INFO, and drops what is below the level of applications.
    metrics_sent.put({"OutboxLag": (1.0, "Seconds")})
    line = json.loads(capsys.readouterr().out)
    assert "level" not in line
    assert line["_aws"]["CloudWatchMetrics"]


def test_the_most_frequent_reads_are_not_traced_by_themselves(resources: dict[str, Resource]) -> None:
    untraced = {name for name, it in functions(resources).items() if it["TracingConfig"]["Mode"] != "Active"}
    assert untraced == {"GetProductFunction", "ListProductsFunction", "ListFavoriteIdsFunction"}


def test_the_access_log_has_no_personal_data_and_the_id_of_problems(resources: dict[str, Resource]) -> None:
    (stage,) = of_type(resources, "AWS::ApiGatewayV2::Stage").values()
    line = access_log_line(stage)
    assert line["request_id"] == "$context.requestId"
    # No header, path, address or user agent: they hold tokens and personal data, and a caller writes them.
    assert set(line.values()) == {
        *("$context.requestId", "$context.routeKey", "$context.status", "$context.responseLatency"),
        "$context.integration.integrationStatus",
    }
    assert '"milliseconds":$context.responseLatency,' in stage["AccessLogSettings"]["Format"]  # a number


def access_log_line(stage: dict[str, Any]) -> dict[str, str]:
    """A line of the access log, each value as the variable that it is."""
    text = stage["AccessLogSettings"]["Format"]
    line: dict[str, str] = json.loads(re.sub(r":(\$context[.\w]+)", r':"\1"', text))
    return line


def test_the_dashboard_shows_what_exists_and_every_alarm(resources: dict[str, Resource]) -> None:
    body, more = resources["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    for name, expected in (("OfSchedules", "KeepsHot"), ("OfTheCheck", "IsCheckedFromHere")):
        condition, there, otherwise = more[name]["Fn::If"]
        assert (condition, otherwise) == (expected, "")
        body = body.replace(f"${{{name}}}", there["Fn::Sub"])
    assert set(re.findall(r"\$\{([A-Za-z]+)(?:\.\w+)?\}", body)) <= resources.keys()
    (shown,) = [it["properties"]["alarms"] for it in json.loads(body)["widgets"] if it["type"] == "alarm"]
    assert {arn.removeprefix("${").removesuffix(".Arn}") for arn in shown} == ringing(resources).keys()
