#include "serve/model_routes.h"

#include <fmt/format.h>
#include <sys/random.h>

#include <algorithm>
#include <ctime>

#include "base/digest.h"
#include "base/json_writer.h"
#include "base/text.h"
#include "base/time.h"
#include "serve/api/members.h"

namespace vitrine::serve {
namespace {

std::string random_id(std::string_view prefix) {
  uint8_t bytes[12] = {};
  (void)getrandom(bytes, sizeof bytes, 0);
  return std::string(prefix) + to_hex(bytes);
}

void send_json(RouteCall& call, std::string body, int status = 200) {
  Headers headers = call.headers;
  headers.emplace_back("Content-Type", "application/json");
  call.responder->send(status, std::move(headers), std::move(body));
}

class ModelRoutes {
 public:
  ModelRoutes(GenerationContext& context, const ModelInfo& model) : context_(context), model_(model) {}

  bool is_ours(std::string_view name) const {
    if (name.ends_with(":latest")) name.remove_suffix(7);
    return name == model_.name || std::find(model_.aliases.begin(), model_.aliases.end(), name) != model_.aliases.end();
  }

  void refuse_model(RouteCall& call, Api api, const std::string& name) const {
    const std::string message = name.empty() ? "model is missing: this server has " + model_.name
                                             : "there is no model " + printable(name) + " here: this server has " +
                                                   model_.name + " (--alias NAME adds a name)";
    send_error(*call.responder, api, {ErrorCode::usage, message, "model"}, call.headers, 404, "model_not_found");
  }

  using Read = Result<ChatRequest> (*)(std::string_view body);
  enum class Form : uint8_t { openai_chat, openai_completion, ollama_chat, ollama_generate };

  void answer(RouteCall call, Form form, Read read) const {
    const bool openai = form == Form::openai_chat || form == Form::openai_completion;
    const Api api = openai ? Api::openai : Api::ollama;
    auto request = read(call.request.body);
    if (!request) return send_error(*call.responder, api, request.error(), call.headers);
    if (!is_ours(request->model)) return refuse_model(call, api, request->model);
    AnswerHead head;
    head.model = openai ? model_.name : request->model;
    head.created = std::time(nullptr);
    head.created_text = to_rfc3339({head.created * 1'000'000'000});
    head.id = random_id(form == Form::openai_completion ? "cmpl-" : "chatcmpl-");
    if (!openai && request->texts.empty() && request->messages.is_none())
      return loaded(call, head, form == Form::ollama_chat);
    std::unique_ptr<AnswerWriter> writer;
    switch (form) {
      case Form::openai_chat: writer = openai_chat_writer(head, *request, context_.engine.tokenizer()); break;
      case Form::openai_completion:
        writer = openai_completion_writer(head, *request, context_.engine.tokenizer());
        break;
      case Form::ollama_chat: writer = ollama_writer(head, *request, context_.engine.tokenizer(), true); break;
      case Form::ollama_generate: writer = ollama_writer(head, *request, context_.engine.tokenizer(), false); break;
    }
    generate(context_, api, std::move(*request), std::move(writer), call.owner, call.responder, call.headers);
  }

  void models(RouteCall call) const {
    std::string out;
    JsonWriter json(out);
    json.begin().key("object").plain("list").key("data").begin_array();
    write_model(json);
    json.end_array().end();
    send_json(call, std::move(out));
  }

  void one_model(RouteCall call) const {
    if (!is_ours(call.rest)) return refuse_model(call, Api::openai, call.rest);
    std::string out;
    JsonWriter json(out);
    write_model(json);
    send_json(call, std::move(out));
  }

  // ---- Ollama
  void tags(RouteCall call, bool running) const {
    std::string out;
    JsonWriter json(out);
    json.begin().key("models").begin_array().begin();
    json.key("name").string(model_.name + ":latest").key("model").string(model_.name + ":latest");
    json.key("size").number(model_.bytes).key("digest").string(model_.digest);
    if (running) {
      json.key("expires_at").plain("2318-01-01T00:00:00Z").key("size_vram").number(0);
      json.key("context_length").number(context_.engine.context());
    } else {
      json.key("modified_at").string(to_rfc3339({model_.modified * 1'000'000'000}));
    }
    write_details(json);
    json.end().end_array().end();
    send_json(call, std::move(out));
  }

  void show(RouteCall call) const {
    const auto body = ChatValue::from_json(call.request.body);
    std::string name;
    for (const char* key : {"model", "name"}) {
      const ChatValue* value = body ? body->find(key) : nullptr;
      if (value != nullptr && value->as_string() != nullptr && name.empty()) name = *value->as_string();
    }
    if (!is_ours(name)) return refuse_model(call, Api::ollama, name);
    const ModelConfig& config = context_.engine.config();
    const std::string architecture(architecture_name(config.architecture));
    std::string out;
    JsonWriter json(out);
    json.begin()
        .key("modelfile")
        .plain("")
        .key("parameters")
        .plain("")
        .key("template")
        .string(context_.engine.chat_template_source());
    json.key("modified_at").string(to_rfc3339({model_.modified * 1'000'000'000}));
    write_details(json);
    json.key("model_info").begin().key("general.architecture").string(architecture);
    json.key("general.name").string(config.name);
    std::string key = architecture + ".context_length";
    json.key(key).number(context_.engine.context());
    json.end().key("capabilities").begin_array().plain("completion");
    if (find_tool_style(context_.engine.chat_template_source())) json.plain("tools");
    json.end_array().end();
    send_json(call, std::move(out));
  }

 private:
  // Ollama's way to ask that a model be loaded.
  static void loaded(RouteCall& call, const AnswerHead& head, bool chat) {
    std::string out;
    JsonWriter json(out);
    json.begin().key("model").string(head.model).key("created_at").string(head.created_text);
    if (chat) {
      json.key("message").begin().key("role").plain("assistant").key("content").plain("").end();
    } else {
      json.key("response").plain("");
    }
    json.key("done").boolean(true).key("done_reason").plain("load").end();
    send_json(call, std::move(out));
  }

  void write_model(JsonWriter& json) const {
    json.begin().key("id").string(model_.name).key("object").plain("model").key("created").number(model_.modified);
    json.key("owned_by").plain("vitrine").key("max_model_len").number(context_.engine.context()).end();
  }

  void write_details(JsonWriter& json) const {
    const std::string architecture(architecture_name(context_.engine.config().architecture));
    json.key("details").begin().key("parent_model").plain("").key("format").plain("gguf");
    json.key("family").string(architecture).key("families").begin_array().string(architecture).end_array();
    json.key("parameter_size").plain("").key("quantization_level").string(model_.quantization).end();
  }

  GenerationContext& context_;
  const ModelInfo& model_;
};

}  // namespace

void append_metric(std::string& out, std::string_view name, std::string_view kind, std::string_view help,
                   double value) {
  out += fmt::format("# HELP vitrine_{0} {2}\n# TYPE vitrine_{0} {1}\nvitrine_{0} {3}\n", name, kind, help, value);
}

void add_model_routes(Router& router, GenerationContext& context, const ModelInfo& model) {
  using Form = ModelRoutes::Form;
  const auto routes = std::make_shared<const ModelRoutes>(context, model);
  const auto post = [&](std::string path, Form form, ModelRoutes::Read read) {
    router.add("POST", std::move(path), Router::Door::key,
               [routes, form, read](RouteCall call) { routes->answer(std::move(call), form, read); });
  };
  post("/v1/chat/completions", Form::openai_chat, read_openai_chat);
  post("/v1/completions", Form::openai_completion, read_openai_completion);
  post("/api/chat", Form::ollama_chat, read_ollama_chat);
  post("/api/generate", Form::ollama_generate, read_ollama_generate);
  using Door = Router::Door;
  router.add("GET", "/v1/models", Door::key, [routes](RouteCall call) { routes->models(std::move(call)); });
  router.add("GET", "/v1/models/*", Door::key, [routes](RouteCall call) { routes->one_model(std::move(call)); });
  router.add("GET", "/api/tags", Door::key, [routes](RouteCall call) { routes->tags(std::move(call), false); });
  router.add("GET", "/api/ps", Door::key, [routes](RouteCall call) { routes->tags(std::move(call), true); });
  router.add("POST", "/api/show", Door::key, [routes](RouteCall call) { routes->show(std::move(call)); });
  router.add("GET", "/api/version", Door::open, [&model](RouteCall call) {
    std::string out;
    JsonWriter(out).begin().key("version").string(model.version).end();
    send_json(call, std::move(out));
  });
}

void add_service_routes(Router& router, EngineService* service, const HttpServer* const& server,
                        std::function<std::string()> trouble, std::function<std::string()> more_metrics) {
  constexpr bool kAlways = true;
  const auto healthz = [service, trouble = std::move(trouble)](RouteCall call) {
    std::string why = trouble ? trouble() : "";
    if (const auto failed = service != nullptr ? service->failed() : std::nullopt) why = failed->to_string();
    std::string out;
    JsonWriter json(out);
    json.begin().key("status").plain(why.empty() ? "ok" : "failed");
    if (!why.empty()) json.key("reason").string(why);
    json.end();
    send_json(call, std::move(out), why.empty() ? 200 : 503);
  };
  const auto metrics = [service, &server, more = std::move(more_metrics)](RouteCall call) {
    std::string out;
    if (service != nullptr) {
      const ServiceStats s = service->stats();
      append_metric(out, "sequences_running", "gauge", "Sequences the engine works on.",
                    static_cast<double>(s.running));
      append_metric(out, "sequences_waiting", "gauge", "Sequences that wait for a place.",
                    static_cast<double>(s.waiting));
      append_metric(out, "sequences_total", "counter", "Sequences taken.", static_cast<double>(s.jobs));
      append_metric(out, "sequences_refused_total", "counter", "Refused because too many waited.",
                    static_cast<double>(s.refused));
      append_metric(out, "sequences_cancelled_total", "counter", "Ended by their client.",
                    static_cast<double>(s.cancelled));
      append_metric(out, "prompt_tokens_total", "counter", "Tokens of finished prompts.",
                    static_cast<double>(s.prompt_tokens));
      append_metric(out, "prompt_tokens_cached_total", "counter", "Of them, shared with earlier prompts.",
                    static_cast<double>(s.cached_tokens));
      append_metric(out, "generated_tokens_total", "counter", "Tokens generated.",
                    static_cast<double>(s.generated_tokens));
      append_metric(out, "steps_total", "counter", "Steps of the engine.", static_cast<double>(s.steps));
      append_metric(out, "step_seconds_total", "counter", "Time in steps.", s.step_seconds);
      append_metric(out, "step_overhead_seconds_total", "counter", "Time of the engine's thread between steps.",
                    s.other_seconds);
    }
    if (server != nullptr) {
      const HttpServer::Stats s = server->stats();
      append_metric(out, "connections_open", "gauge", "Connections of clients.", static_cast<double>(s.open));
      append_metric(out, "connections_total", "counter", "Connections accepted.", static_cast<double>(s.accepted));
      append_metric(out, "http_requests_total", "counter", "Requests read.", static_cast<double>(s.requests));
      append_metric(out, "http_malformed_total", "counter", "Requests that were no valid HTTP.",
                    static_cast<double>(s.refused));
    }
    if (more) out += more();
    Headers headers = call.headers;
    headers.emplace_back("Content-Type", "text/plain; version=0.0.4; charset=utf-8");
    call.responder->send(200, std::move(headers), std::move(out));
  };
  router.add("GET", "/healthz", Router::Door::open, healthz, kAlways);
  router.add("GET", "/metrics", Router::Door::key, metrics, kAlways);
}

}  // namespace vitrine::serve
