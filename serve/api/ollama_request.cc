// POST /api/chat and /api/generate, as Ollama documents them.
#include "base/text.h"
#include "serve/api/chat_request.h"
#include "serve/api/members.h"
#include "serve/api/messages.h"

namespace vitrine::serve {
namespace {

void read_options(Members& members, ChatRequest& request) {
  const ChatValue* given = members.object("options");
  if (given == nullptr) return;
  Members options(*given, "options");
  SamplingParameters& s = request.sampling;
  const auto real = [&](std::string_view name, double least, double most, float& into) {
    if (const auto value = options.real(name, least, most)) into = static_cast<float>(*value);
  };
  real("temperature", 0, 100, s.temperature);
  real("top_p", 0, 1, s.top_p);
  if (s.top_p == 0) s.top_p = 1e-9f;
  real("min_p", 0, 1, s.min_p);
  real("presence_penalty", -2, 2, s.presence_penalty);
  real("frequency_penalty", -2, 2, s.frequency_penalty);
  real("repeat_penalty", 0.01, 100, s.repetition_penalty);
  if (const auto k = options.integer("top_k", -1, 1 << 30)) s.top_k = static_cast<int32_t>(std::max<int64_t>(*k, 0));
  if (const auto seed = options.integer("seed", INT64_MIN, INT64_MAX)) request.seed = static_cast<uint64_t>(*seed);
  // -1 and -2: until the context ends.
  if (const auto most = options.integer("num_predict", -2, 1'000'000'000'000)) {
    if (*most == 0) options.refuse("num_predict", "must not be 0");
    request.max_tokens = std::max<int64_t>(*most, 0);
  }
  const ChatValue* stop = options.any("stop");
  if (stop != nullptr) {
    const ChatList one = {*stop};
    for (const ChatValue& text : stop->as_list() != nullptr ? *stop->as_list() : one) {
      if (text.as_string() == nullptr || text.as_string()->empty() || request.stop.size() == 16) {
        options.refuse("stop", "must be up to 16 texts");
        break;
      }
      request.stop.push_back(*text.as_string());
    }
  }
  // How the model is loaded is this server's own configuration, not a request's.
  options.ignore({"num_ctx", "num_batch", "num_gpu", "main_gpu", "num_thread", "num_keep", "numa", "use_mmap",
                  "use_mlock", "low_vram", "typical_p", "tfs_z", "mirostat", "mirostat_eta", "mirostat_tau",
                  "repeat_last_n", "penalize_newline"});
  options.refuse_others();
  if (options.failed()) {
    const Error error = options.error().value();
    members.refuse(error.where, error.message, error.code);
  }
}

void read_common(Members& members, ChatRequest& request) {
  request.model = members.text("model").value_or("");
  request.stream = members.flag("stream").value_or(true);
  request.sampling.temperature = 0.8f;  // Ollama's defaults
  request.sampling.top_k = 40;
  request.sampling.top_p = 0.9f;
  read_options(members, request);
  if (const ChatValue* format = members.any("format")) {
    if (format->as_map() != nullptr) {
      request.format = ChatRequest::Format::json_schema;
      request.schema = to_json(*format);
    } else if (format->as_string() != nullptr && *format->as_string() == "json") {
      request.format = ChatRequest::Format::json_object;
    } else if (format->as_string() == nullptr || !format->as_string()->empty()) {
      members.refuse("format", "must be \"json\" or a JSON Schema");
    }
  }
  if (const ChatValue* think = members.any("think")) {
    const bool on = think->as_bool() == nullptr || *think->as_bool();  // "high" …
    request.template_variables.emplace_back("enable_thinking", on);
    request.template_variables.emplace_back("thinking", on);
  }
  const auto top = members.integer("top_logprobs", 0, 20);
  if (members.flag("logprobs").value_or(false)) request.sampling.top_logprobs = static_cast<int32_t>(top.value_or(0));
  members.ignore({"keep_alive", "truncate", "shift"});
}

}  // namespace

Result<ChatRequest> read_ollama_chat(std::string_view body) {
  const auto json = ChatValue::from_json(body);
  if (!json) return fail(ErrorCode::usage, "the body is not JSON: " + json.error().message);
  Members members(*json);
  ChatRequest request;
  read_common(members, request);
  const ChatValue* messages = members.list("messages");
  if (const ChatValue* tools = members.list("tools"); tools != nullptr && !members.failed()) {
    if (const Status status = read_tools(*tools, request); !status) return tl::make_unexpected(status.error());
  }
  if (request.tool_list.empty()) request.tool_choice = ChatRequest::ToolChoice::none;
  members.refuse_others();
  if (members.failed()) return members.error();
  // Without messages Ollama loads the model and says so; here it is loaded already.
  if (messages == nullptr || messages->as_list()->empty()) return request;
  auto read = read_messages(*messages);
  if (!read) return tl::make_unexpected(read.error());
  request.messages = std::move(*read);
  return request;
}

Result<ChatRequest> read_ollama_generate(std::string_view body) {
  const auto json = ChatValue::from_json(body);
  if (!json) return fail(ErrorCode::usage, "the body is not JSON: " + json.error().message);
  Members members(*json);
  ChatRequest request;
  read_common(members, request);
  request.tool_choice = ChatRequest::ToolChoice::none;
  const std::string prompt = members.text("prompt").value_or("");
  const auto system = members.text("system");
  const bool raw = members.flag("raw").value_or(false);
  if (const ChatValue* images = members.list("images"); images != nullptr && !images->as_list()->empty()) {
    members.refuse("images", "are not supported: text is all that this server reads", ErrorCode::unsupported);
  }
  for (const std::string_view name : {"suffix", "template"}) {
    if (const auto value = members.text(name); value && !value->empty()) {
      members.refuse(name, "is not supported", ErrorCode::unsupported);
    }
  }
  members.ignore({"context"});
  members.refuse_others();
  if (members.failed()) return members.error();
  if (prompt.empty()) return request;
  if (raw) {
    request.texts = {prompt};
    request.split_reasoning = false;
    return request;
  }
  ChatList messages;
  if (system && !system->empty()) messages.push_back(ChatMap{{"role", "system"}, {"content", *system}});
  messages.push_back(ChatMap{{"role", "user"}, {"content", prompt}});
  request.messages = std::move(messages);
  return request;
}

}  // namespace vitrine::serve
