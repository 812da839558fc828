"""vLLM's metrics are summed over engines and compared with what they were."""

from moodarchive.chat.server_phases import ServerPhases, read_phases, sum_since

TEXT = """# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} 3.0
# TYPE vllm:request_queue_time_seconds histogram
vllm:request_queue_time_seconds_bucket{engine="0",le="0.3",model_name="m"} 4.0
vllm:request_queue_time_seconds_bucket{engine="0",le="+Inf",model_name="m"} 10.0
vllm:request_queue_time_seconds_count{engine="0",model_name="m"} 10.0
vllm:request_queue_time_seconds_sum{engine="0",model_name="m"} 2.5
vllm:request_queue_time_seconds_count{engine="1",model_name="a name } with { braces"} 5.0
vllm:request_queue_time_seconds_sum{engine="1",model_name="a name } with { braces"} 0.5
vllm:request_prefill_time_seconds_count{engine="0",model_name="m"} 10.0
vllm:request_prefill_time_seconds_sum{engine="0",model_name="m"} 1.2e1
vllm:request_decode_time_seconds_sum{engine="0",model_name="m"} 30.0 1700000000000
vllm:request_decode_time_seconds_sum{engine="1",model_name="m"} NaN
vllm:e2e_request_latency_seconds_sum{engine="0",model_name="m"} 99.0
process_cpu_seconds_total 4.2
"""


def test_sums_are_over_engines_and_of_the_phases_alone() -> None:
    assert read_phases(TEXT) == ServerPhases(requests=15, queue=3.0, prefill=12.0, decode=30.0)


def test_metrics_of_other_servers_and_pages_are_none() -> None:
    other = "llamacpp:prompt_tokens_total 7\nsglang:num_running_reqs 3"
    for text in ("", "<html>", other, "vllm:request_queue_time_seconds_sum x"):
        assert read_phases(text) is None


def test_what_came_meanwhile_is_a_difference_and_a_server_started_anew_counts_from_zero() -> None:
    before = {"a": ServerPhases(requests=10, queue=5.0), "b": ServerPhases(requests=100, decode=50.0)}
    now = {
        "a": ServerPhases(requests=14, queue=7.0),
        "b": ServerPhases(requests=2, decode=1.0),
        "c": ServerPhases(requests=3),
    }
    assert sum_since(now, before) == ServerPhases(requests=9, queue=2.0, decode=1.0)
