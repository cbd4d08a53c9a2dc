#include "engine/chat_template.h"

#include "engine/template_ast.h"
#include "engine/template_lexer.h"
#include "engine/template_run.h"
#include "engine/unicode.h"

namespace vitrine {

struct ChatTemplate::State {
  std::string source;
  ChatLimits limits;
  StatementList statements;
};

ChatTemplate::ChatTemplate(std::unique_ptr<const State> state) : state_(std::move(state)) {}
ChatTemplate::~ChatTemplate() = default;
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;
ChatTemplate& ChatTemplate::operator=(ChatTemplate&&) noexcept = default;

Result<ChatTemplate> ChatTemplate::parse(std::string_view source, const ChatLimits& limits) {
  if (source.size() > limits.source_bytes) {
    return template_error(1, ErrorCode::limit, "longer than " + std::to_string(limits.source_bytes) + " bytes");
  }
  auto state = std::make_unique<State>();
  std::string scratch;
  state->source = std::string(well_formed(source, scratch));
  state->limits = limits;
  auto statements = parse_template(state->source, limits.nesting);
  if (!statements) return tl::unexpected(statements.error());
  state->statements = std::move(*statements);
  return ChatTemplate(std::move(state));
}

Result<std::string> ChatTemplate::render(const ChatInput& input) const {
  TemplateRun run(state_->limits, input.now);
  const auto define = [&](const std::string& name, const ChatValue& value) {
    auto made = to_template_value(value);
    if (made) run.define(name, std::move(*made));
    return made.has_value();
  };
  bool shallow = define("messages", input.messages) && define("tools", input.tools) &&
                 define("add_generation_prompt", ChatValue(input.add_generation_prompt)) &&
                 define("bos_token", ChatValue(input.bos_token)) && define("eos_token", ChatValue(input.eos_token));
  for (const auto& [name, value] : input.extra) shallow = shallow && define(name, value);
  if (!shallow) return fail(ErrorCode::limit, "a message nested deeper than 128");
  return run.run(state_->statements);
}

bool ChatTemplate::uses(std::string_view variable) const {
  const auto is_part = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  };
  const std::string& source = state_->source;
  for (size_t at = 0; (at = source.find(variable, at)) != source.npos; ++at) {
    const size_t end = at + variable.size();
    if ((at == 0 || !is_part(source[at - 1])) && (end == source.size() || !is_part(source[end]))) return true;
  }
  return false;
}

}  // namespace vitrine
