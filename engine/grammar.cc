#include "engine/grammar.h"

#include <algorithm>

#include "engine/grammar_matcher.h"
#include "engine/json_schema.h"

namespace vitrine {
namespace {

using Kind = RootOp::Kind;

class RootBuilder {
 public:
  explicit RootBuilder(std::vector<RootOp>& ops) : ops_(ops) { add({Kind::space, {}, kNone, {1}}); }

  uint32_t add(RootOp op) {
    ops_.push_back(std::move(op));
    return static_cast<uint32_t>(ops_.size() - 1);
  }
  uint32_t text(const std::string& text, uint32_t next) { return add({Kind::text, text, kNone, {next}}); }

 private:
  std::vector<RootOp>& ops_;
};

// Of everything that decides what the grammar is.
class Identity {
 public:
  explicit Identity(const GrammarOptions& options) {
    add(options.document_depth);
    add(options.open);
  }
  void add(uint64_t number) {
    std::array<uint8_t, 8> bytes;
    for (size_t i = 0; i < 8; ++i) bytes[i] = static_cast<uint8_t>(number >> (8 * i));
    hash_.update(bytes);
  }
  void add(std::string_view text) {
    add(text.size());
    hash_.update(as_bytes(text));
  }
  Sha256 digest() const { return hash_.digest(); }

 private:
  static Bytes as_bytes(std::string_view text) { return {reinterpret_cast<const uint8_t*>(text.data()), text.size()}; }
  Sha256Stream hash_;
};

GrammarPointer made(GrammarProgram program, const Identity& identity) {
  return std::make_shared<const Grammar>(std::make_unique<const GrammarProgram>(std::move(program)), identity.digest());
}

bool begins_number_part(std::string_view text) {
  return !text.empty() && std::string_view("0123456789.eE+-").find(text[0]) != std::string_view::npos;
}

// Whether a value may begin where `text` goes on behind `prefix`.
bool may_be_a_value(std::string_view text, std::string_view prefix) {
  return text.size() > prefix.size() && text.starts_with(prefix) &&
         std::string_view("{[\"-0123456789tfn").find(text[prefix.size()]) != std::string_view::npos;
}

// What would leave open where a value begins or ends.
Status check(const CallGrammar& calls) {
  if (calls.tools.empty()) return fail(ErrorCode::usage, "there is no tool to call");
  if (calls.calls == 0) return fail(ErrorCode::usage, "at least one call must be allowed");
  const auto ambiguous = [](const CallGrammar::Tool& tool, const char* what) {
    return fail(ErrorCode::usage, what, "tool '" + tool.name + "'");
  };
  const bool repeats = calls.calls > 1;
  for (const CallGrammar::Tool& tool : calls.tools) {
    for (const CallGrammar::Tool& other : calls.tools) {
      if (may_be_a_value(other.before, tool.before)) {
        return ambiguous(tool, "the text before another tool's call goes on like a value of this one");
      }
      const std::string behind = tool.after.empty() ? calls.separator + other.before : tool.after;
      if (repeats && (behind.empty() || begins_number_part(behind))) {
        return ambiguous(tool, "the text behind a call would go on a number");
      }
    }
    if (begins_number_part(tool.after.empty() ? calls.end : tool.after)) {
      return ambiguous(tool, "the text behind a call would go on a number");
    }
  }
  return {};
}

}  // namespace

Grammar::Grammar(std::unique_ptr<const GrammarProgram> program, Sha256 id) : program_(std::move(program)), id_(id) {}
Grammar::~Grammar() = default;

Result<GrammarPointer> compile_json_schema(std::string_view schema, const GrammarOptions& options) {
  SchemaCompiler compiler(options);
  const auto value = compiler.add(schema);
  if (!value) return tl::make_unexpected(value.error());
  auto program = compiler.finish({&*value, 1});
  if (!program) return tl::make_unexpected(program.error());
  RootBuilder root(program->root);
  root.add({Kind::value, {}, *value, {2}});
  root.add({Kind::done, {}, kNone, {}});
  Identity identity(options);
  identity.add("schema");
  identity.add(schema);
  return made(std::move(*program), identity);
}

Result<GrammarPointer> json_object_grammar(const GrammarOptions& options) {
  return compile_json_schema(R"({"type": "object"})", options);
}

Result<GrammarPointer> compile_choice(std::span<const std::string> texts, const GrammarOptions& options) {
  if (texts.empty()) return fail(ErrorCode::usage, "there is nothing to choose from");
  size_t bytes = 0;
  for (const std::string& text : texts) {
    if (text.empty()) return fail(ErrorCode::usage, "an empty text cannot be chosen");
    bytes += text.size();
  }
  if (bytes > options.schema_bytes) {
    return fail(ErrorCode::limit, "the texts may have " + std::to_string(options.schema_bytes) + " bytes");
  }
  GrammarProgram program;
  program.document_depth = options.document_depth;
  RootBuilder root(program.root);
  RootOp fork{Kind::fork, {}, kNone, {}};
  const uint32_t start = root.add(fork);
  const uint32_t done = root.add({Kind::done, {}, kNone, {}});
  Identity identity(options);
  identity.add("choice");
  for (const std::string& text : texts) {
    fork.next.push_back(root.text(text, done));
    identity.add(text);
  }
  program.root[start] = std::move(fork);
  return made(std::move(program), identity);
}

Result<GrammarPointer> compile_calls(const CallGrammar& calls, const GrammarOptions& options) {
  if (Status status = check(calls); !status) return tl::make_unexpected(status.error());
  SchemaCompiler compiler(options);
  Identity identity(options);
  identity.add("calls");
  identity.add(calls.calls);
  for (const std::string* text : {&calls.begin, &calls.separator, &calls.end}) identity.add(*text);
  std::vector<ValueId> values;
  for (const CallGrammar::Tool& tool : calls.tools) {
    const std::string_view any_object = R"({"type": "object"})";
    const std::string_view schema = tool.parameters.empty() ? any_object : std::string_view(tool.parameters);
    const auto value = compiler.add(schema, "tool '" + tool.name + "'");
    if (!value) return tl::make_unexpected(value.error());
    values.push_back(*value);
    for (const std::string_view text : {std::string_view(tool.before), schema, std::string_view(tool.after)}) {
      identity.add(text);
    }
  }
  auto program = compiler.finish(values);
  if (!program) return tl::make_unexpected(program.error());
  program->calls = calls.calls;
  RootBuilder root(program->root);
  // 0 space, 1 begin, 2 one of the tools, 3 again, 4 separator, 5 end, 6 done
  root.text(calls.begin, 2);
  root.add({Kind::fork, {}, kNone, {}});
  root.add({Kind::again, {}, kNone, {4, 5}});
  root.text(calls.separator, 2);
  root.text(calls.end, 6);
  root.add({Kind::done, {}, kNone, {}});
  for (size_t i = 0; i < calls.tools.size(); ++i) {
    const uint32_t after = root.text(calls.tools[i].after, 3);
    const uint32_t value = root.add({Kind::value, {}, values[i], {after}});
    program->root[2].next.push_back(root.text(calls.tools[i].before, value));
  }
  return made(std::move(*program), identity);
}

bool matches(const Grammar& grammar, std::string_view text) {
  // A matcher without ownership, in pieces, so that memory follows the text's depth and not its length.
  GrammarMatcher matcher(GrammarPointer(GrammarPointer(), &grammar));
  for (; text.size() > 256; text.remove_prefix(256)) {
    if (!matcher.accept(text.substr(0, 256))) return false;
  }
  return matcher.accept(text) && matcher.may_end();
}

}  // namespace vitrine
