#include "engine/grammar.h"

#include "engine/grammar_program.h"

namespace vitrine {
namespace {
tl::unexpected<Error> not_yet() {
  return fail(ErrorCode::unsupported, "constrained answers are not part of this build");
}
}  // namespace

Grammar::Grammar(std::unique_ptr<const GrammarProgram> program, Sha256 id) : program_(std::move(program)), id_(id) {}
Grammar::~Grammar() = default;

Result<GrammarPointer> compile_json_schema(std::string_view, const GrammarOptions&) { return not_yet(); }
Result<GrammarPointer> json_object_grammar(const GrammarOptions&) { return not_yet(); }
Result<GrammarPointer> compile_choice(std::span<const std::string>, const GrammarOptions&) { return not_yet(); }
Result<GrammarPointer> compile_calls(const CallGrammar&, const GrammarOptions&) { return not_yet(); }
bool matches(const Grammar&, std::string_view) { return false; }

}  // namespace vitrine
