"""The published clients of OpenAI and Ollama (PyPI) against `vitrine serve`: what they are told, event by event.

clients_test.py PROGRAM BUILD_FOLDER
"""
import json
import os
import sys
import threading
import time
import urllib.request

from server import Server, published, smollm2

PROGRAM, BUILD = sys.argv[1:3]
MODEL = smollm2(BUILD)
ollama, openai = published(BUILD, "ollama", "openai")

HERMES = os.path.join(os.path.dirname(__file__), "hermes.jinja")
ASK = [{"role": "user", "content": "Name three colours."}]
WEATHER = {"type": "function", "function": {"name": "weather", "description": "Weather of a city", "parameters": {
    "type": "object", "properties": {"city": {"type": "string", "maxLength": 12}, "days": {"type": "integer", "minimum": 1, "maximum": 9}},
    "required": ["city", "days"], "additionalProperties": False}}}


def chat(client, **more):
    options = {"model": "test-model", "messages": ASK, "max_tokens": 12, "temperature": 0} | more
    return client.chat.completions.create(**options)


def refused(kind, call):
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}")


def test_chat(client):
    answer = chat(client, max_tokens=4)
    message = answer.choices[0].message
    assert message.role == "assistant" and message.content, answer
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 4 and answer.usage.prompt_tokens > 10
    assert answer.usage.completion_tokens_details.reasoning_tokens == 0
    again = chat(client, max_tokens=4)
    assert again.choices[0].message.content == message.content
    assert again.usage.prompt_tokens_details.cached_tokens == again.usage.prompt_tokens - 1


def test_stream_equals_whole(client):
    whole = chat(client, max_tokens=30).choices[0].message.content
    text, finish, usage = "", None, None
    for event in chat(client, max_tokens=30, stream=True, stream_options={"include_usage": True}):
        if event.usage:
            usage = event.usage
            assert event.choices == []
        for choice in event.choices:
            text += choice.delta.content or ""
            finish = choice.finish_reason or finish
    assert text == whole, (text, whole)
    assert finish in ("stop", "length") and usage.completion_tokens <= 30


def test_several_choices(client):
    greedy = chat(client, n=3)
    assert len({choice.message.content for choice in greedy.choices}) == 1
    drawn = chat(client, n=4, temperature=1.5, seed=7)
    assert [choice.index for choice in drawn.choices] == [0, 1, 2, 3]
    assert len({choice.message.content for choice in drawn.choices}) > 1
    assert [c.message.content for c in chat(client, n=4, temperature=1.5, seed=7).choices] == \
        [c.message.content for c in drawn.choices]
    free = {chat(client, temperature=1.5).choices[0].message.content for _ in range(4)}
    assert len(free) > 1, "without a seed answers differ"


def test_stop_and_bias(client):
    whole = chat(client, max_tokens=30).choices[0].message.content
    word = whole.split()[3]
    cut = chat(client, max_tokens=30, stop=[word])
    assert cut.choices[0].message.content == whole[:whole.index(word)] and cut.choices[0].finish_reason == "stop"
    first = chat(client, logprobs=True, top_logprobs=2).choices[0].logprobs.content[0]
    assert first.token == first.top_logprobs[0].token and first.logprob <= 0 and bytes(first.bytes).decode() == first.token
    assert len(first.top_logprobs) == 2 and first.top_logprobs[0].logprob >= first.top_logprobs[1].logprob


def test_json(client):
    answer = chat(client, response_format={"type": "json_object"}, max_tokens=400, temperature=0.3, seed=3)
    if answer.choices[0].finish_reason == "stop":
        assert isinstance(json.loads(answer.choices[0].message.content), dict)
    schema = {"type": "object", "properties": {"colour": {"enum": ["red", "green", "blue"]}, "n": {"type": "integer", "minimum": 0, "maximum": 99}},
              "required": ["colour", "n"], "additionalProperties": False}
    for seed in range(5):
        answer = chat(client, temperature=1, seed=seed, max_tokens=200, response_format={
            "type": "json_schema", "json_schema": {"name": "c", "strict": True, "schema": schema}})
        value = json.loads(answer.choices[0].message.content)
        assert value["colour"] in ("red", "green", "blue") and 0 <= value["n"] <= 99 and len(value) == 2, value
    bad = {"type": "object", "properties": {"a": {"type": "string", "contentEncoding": "base64"}}}
    error = refused(openai.BadRequestError, lambda: chat(client, response_format={
        "type": "json_schema", "json_schema": {"name": "c", "schema": bad}}))
    assert "contentEncoding" in str(error), error


def test_tools(client):
    forced = {"type": "function", "function": {"name": "weather"}}
    for stream in (False, True):
        answer = chat(client, tools=[WEATHER], tool_choice=forced, max_tokens=200, stream=stream)
        if stream:
            calls, finish = [], None
            for event in answer:
                for choice in event.choices:
                    calls += choice.delta.tool_calls or []
                    finish = choice.finish_reason or finish
        else:
            calls, finish = answer.choices[0].message.tool_calls, answer.choices[0].finish_reason
        assert len(calls) == 1 and calls[0].function.name == "weather" and finish == "tool_calls", answer
        arguments = json.loads(calls[0].function.arguments)
        assert set(arguments) == {"city", "days"} and 1 <= arguments["days"] <= 9, arguments
    # The round trip: the call and its result go back.
    after = chat(client, tools=[WEATHER], messages=ASK + [
        {"role": "assistant", "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Seoul", "days": 1}'}}]},
        {"role": "tool", "tool_call_id": "c1", "content": "sunny"}])
    assert after.choices[0].finish_reason in ("stop", "length", "tool_calls")
    refused(openai.BadRequestError, lambda: chat(client, tools=[WEATHER], tool_choice={"type": "function", "function": {"name": "nope"}}))


def test_completion(client):
    whole = client.completions.create(model="test-model", prompt="Once upon a time", max_tokens=10, temperature=0)
    text = "".join(event.choices[0].text for event in client.completions.create(
        model="test-model", prompt="Once upon a time", max_tokens=10, temperature=0, stream=True) if event.choices)
    assert whole.choices[0].text == text and text
    echo = client.completions.create(model="test-model", prompt="Once", max_tokens=3, temperature=0, echo=True)
    assert echo.choices[0].text.startswith("Once")


def test_prompts(client):
    """A list of prompts: answer i of prompt p is choice p * n + i, and what it is does not depend on the others."""
    prompts, ask = ["Once upon a time", "The capital of France is", "1, 2, 3,"], {"model": "test-model", "max_tokens": 8, "seed": 11}
    alone = [client.completions.create(prompt=prompt, n=2, **ask) for prompt in prompts]
    together = client.completions.create(prompt=prompts, n=2, echo=True, **ask)
    assert [choice.index for choice in together.choices] == list(range(6))
    wanted = [prompts[p] + choice.text for p, answer in enumerate(alone) for choice in answer.choices]
    assert [choice.text for choice in together.choices] == wanted, (together, wanted)
    assert together.usage.prompt_tokens == sum(answer.usage.prompt_tokens for answer in alone)
    assert together.usage.completion_tokens == sum(answer.usage.completion_tokens for answer in alone) == 48
    texts = [""] * 6
    for event in client.completions.create(prompt=prompts, n=2, echo=True, stream=True, **ask):
        for choice in event.choices:
            texts[choice.index] += choice.text
    assert texts == wanted, texts
    assert "token ids" in str(refused(openai.BadRequestError, lambda: client.completions.create(prompt=[1, 2, 3], **ask)))


def test_refusals(client):
    assert "nope" in str(refused(openai.NotFoundError, lambda: chat(client, model="nope")))
    for name, value in [("temperature", 1000000000), ("top_p", -1), ("n", 1000000000), ("top_logprobs", 1000000000),
                        ("presence_penalty", 1000000000), ("frequency_penalty", 1000000000), ("max_tokens", -1)]:
        error = refused(openai.BadRequestError, lambda: chat(client, **{name: value}))
        assert name in str(error), error
    assert "surprise" in str(refused(openai.BadRequestError, lambda: chat(client, extra_body={"surprise": 1})))
    assert chat(client, max_tokens=10**9, stop=[" "]).choices[0].finish_reason == "stop"  # as much as fits
    image = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}]
    assert "image_url" in str(refused(openai.BadRequestError, lambda: chat(client, messages=image)))
    assert refused(openai.BadRequestError, lambda: chat(client, messages=[{"role": "user", "content": "word " * 9000}]))
    assert refused(openai.BadRequestError, lambda: chat(client, messages=[{"role": "boss", "content": "x"}]))


def test_models(client):
    assert [model.id for model in client.models.list()] == ["test-model"]
    assert client.models.retrieve("test-model").owned_by == "vitrine"


def test_together(client):
    """The answer of one does not depend on who else asks."""
    alone = chat(client, max_tokens=40).choices[0].message.content
    answers = [None] * 8
    def ask(i):
        messages = ASK if i % 2 == 0 else [{"role": "user", "content": f"Count to {i}."}]
        answers[i] = chat(client, max_tokens=40, messages=messages).choices[0].message.content
    threads = [threading.Thread(target=ask, args=(i,)) for i in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert all(answers[i] == alone for i in (0, 2, 4, 6)), answers


def metric(url, name):
    with urllib.request.urlopen(url + "/metrics") as answer:
        for line in answer.read().decode().splitlines():
            if line.startswith("vitrine_" + name + " "):
                return float(line.split()[1])
    raise AssertionError(name)


def test_leaving(client, url):
    """A client that goes away stops its sequence."""
    before = metric(url, "sequences_cancelled_total")
    stream = chat(client, stream=True, max_tokens=4000, messages=[{"role": "user", "content": "Write a very long story."}])
    next(iter(stream))
    stream.close()
    for _ in range(100):
        if metric(url, "sequences_cancelled_total") == before + 1 and metric(url, "sequences_running") == 0:
            return
        time.sleep(0.05)
    raise AssertionError("the sequence goes on")


def test_ollama(url):
    client = ollama.Client(host=url)
    names = [model.model for model in client.list().models]
    assert names == ["test-model:latest"], names
    assert client.show("test-model").details.family == "llama"
    assert client.ps().models[0].model == "test-model:latest"
    options = {"temperature": 0, "num_predict": 4}
    whole = client.chat(model="test-model", messages=ASK, options=options)
    assert whole.message.content and whole.done and whole.done_reason == "length" and whole.eval_count == 4
    text = "".join(part.message.content for part in client.chat(model="test-model:latest", messages=ASK, options=options, stream=True))
    assert text == whole.message.content
    made = client.generate(model="test-model", prompt="Name three colours.", options=options)
    assert made.response == whole.message.content
    logprobs = client.chat(model="test-model", messages=ASK, options=options, logprobs=True, top_logprobs=3).logprobs
    assert "".join(token.token for token in logprobs) == whole.message.content and len(logprobs) == 4, logprobs
    for token in logprobs:
        assert [token.token, token.logprob] == [token.top_logprobs[0].token, token.top_logprobs[0].logprob] and token.logprob <= 0
        assert len(token.top_logprobs) == 3 and token.top_logprobs[1].logprob >= token.top_logprobs[2].logprob
    streamed = [token for part in client.chat(model="test-model", messages=ASK, options=options, logprobs=True, top_logprobs=3, stream=True)
                for token in part.logprobs or []]
    assert streamed == list(logprobs), streamed
    made = client.generate(model="test-model", prompt="Name three colours.", options=options, logprobs=True)
    assert [token.token for token in made.logprobs] == [token.token for token in logprobs] and not made.logprobs[0].top_logprobs
    assert client.generate(model="test-model", prompt="Name three colours.", options=options).logprobs is None
    try:
        client.chat(model="test-model", messages=ASK, logprobs=True, top_logprobs=21)
        raise AssertionError("no error")
    except ollama.ResponseError as error:
        assert error.status_code == 400 and "top_logprobs" in str(error)
    schema = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 0, "maximum": 9}}, "required": ["n"], "additionalProperties": False}
    value = json.loads(client.chat(model="test-model", messages=ASK, format=schema, options={"temperature": 0}).message.content)
    assert 0 <= value["n"] <= 9
    try:
        client.chat(model="nope", messages=ASK)
        raise AssertionError("no error")
    except ollama.ResponseError as error:
        assert error.status_code == 404 and "nope" in str(error)


def test_reasoning():
    """A real model that reasons as the template's examples do: apart from its answer, in both directions."""
    where = lambda city: {"role": "user", "content": f"Where is {city}?"}
    with Server(PROGRAM, MODEL, "--chat-template", os.path.join(os.path.dirname(__file__), "reasoner.jinja")) as server:
        client = openai.OpenAI(base_url=server.url + "/v1", api_key="unused", max_retries=0)
        ask = lambda messages, **more: chat(client, messages=messages, max_tokens=60, **more)
        whole = ask([where("Lisbon")])
        message, used = whole.choices[0].message, whole.usage
        assert message.content and message.reasoning_content, whole
        assert "think>" not in message.content + message.reasoning_content, whole
        assert 0 < used.completion_tokens_details.reasoning_tokens < used.completion_tokens, used
        thought, said = "", ""
        for event in ask([where("Lisbon")], stream=True):
            delta = event.choices[0].delta
            thought += getattr(delta, "reasoning_content", None) or ""
            said += delta.content or ""
            assert not (said and getattr(delta, "reasoning_content", None)), "reasoning after the answer has begun"
        assert (thought, said) == (message.reasoning_content, message.content)
        # What the template makes of reasoning that comes back is what the model wrote: it is read from the cache.
        back = {"role": "assistant", "content": message.content, "reasoning_content": message.reasoning_content}
        after = ask([where("Lisbon"), back, where("Oslo")])
        without = ask([where("Lisbon"), {**back, "reasoning_content": ""}, where("Oslo")])
        assert after.usage.prompt_tokens > without.usage.prompt_tokens, (after.usage, without.usage)
        assert after.usage.prompt_tokens_details.cached_tokens >= used.total_tokens - 1, (after.usage, used)
        answer = ollama.Client(host=server.url).chat(model="test-model", messages=[where("Lisbon")],
                                                     options={"temperature": 0, "num_predict": 60}).message
        assert (answer.thinking, answer.content) == (message.reasoning_content, message.content)
        server.stop()


def main():
    with Server(PROGRAM, MODEL, "--chat-template", HERMES, "--context", "2048") as server:
        client = openai.OpenAI(base_url=server.url + "/v1", api_key="unused", max_retries=0)
        for test in [test_models, test_chat, test_stream_equals_whole, test_several_choices, test_stop_and_bias, test_json,
                     test_tools, test_completion, test_prompts, test_refusals, test_together]:
            test(client)
            print("ok", test.__name__, flush=True)
        test_leaving(client, server.url)
        print("ok test_leaving", flush=True)
        test_ollama(server.url)
        print("ok test_ollama", flush=True)
        server.stop()
    test_reasoning()
    print("ok test_reasoning", flush=True)


if __name__ == "__main__":
    main()
