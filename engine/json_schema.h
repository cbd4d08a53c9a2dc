// JSON Schema → values of a grammar program (internal to the engine; engine/grammar.h says what of it).
//
// A place in a document is described by a conjunction of schemas: those that stand there, their
// $ref and allOf. Its alternatives are those of anyOf and oneOf, each joined with the rest, until
// only keywords are left, which become one leaf per type.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/grammar.h"
#include "engine/grammar_program.h"
#include "engine/schema_keywords.h"

namespace vitrine {

class SchemaCompiler {
 public:
  explicit SchemaCompiler(const GrammarOptions& options);

  // Adds the value that `schema` describes. Errors carry `where` in front of the place, when it is not empty.
  Result<ValueId> add(std::string_view schema, const std::string& where = {});
  // Resolves everything added. usage: a value of `roots` that no text can be.
  Result<GrammarProgram> finish(std::span<const ValueId> roots);

 private:
  // A schema of a conjunction; `parent`: the entry whose keyword brought it.
  struct Entry {
    const SchemaValue* schema = nullptr;
    uint32_t parent = kNone;
  };
  // Alternatives still to be chosen: anyOf or oneOf of an entry.
  struct Choice {
    const SchemaValue* list = nullptr;
    uint32_t entry = 0;
    bool exclusive = false;
  };
  struct Conjunction {
    std::vector<Entry> entries;  // objects without duplicates, in the order they were met
    std::vector<Choice> choices;
    bool never = false;  // false is among them
  };
  struct Job {
    ValueId value = kNone;
    Conjunction conjunction;
  };
  struct Exclusion {
    const SchemaValue* list = nullptr;
    std::vector<ValueId> branches;
  };

  Result<ValueId> value_of(const std::vector<Entry>& entries);
  Result<ValueId> value_of(Conjunction conjunction);
  Status expand(Conjunction& conjunction, Entry entry);
  Status resolve(Job& job);
  Status resolve_choice(Job& job);
  Result<const SchemaKeywords*> keywords(const SchemaValue& schema);

  Status add_leaves(ValueId value, const Conjunction& conjunction);
  Status add_listed(ValueId value, const std::vector<const SchemaKeywords*>& all, uint32_t types);
  Status add_string(ValueId value, const std::vector<const SchemaKeywords*>& all);
  Status add_number(ValueId value, const std::vector<const SchemaKeywords*>& all, bool integer);
  Status add_array(ValueId value, const std::vector<const SchemaKeywords*>& all);
  Status add_object(ValueId value, const std::vector<const SchemaKeywords*>& all);
  Result<ValueId> constant(const SchemaValue& value);
  Result<CharDfa> characters(const std::vector<const SchemaKeywords*>& all);
  Result<NumberBounds> bounds(const std::vector<const SchemaKeywords*>& all, bool integer) const;
  Status add_texts(ValueId value, Leaf::Kind kind, const std::vector<std::string>& texts);
  Status add_leaf(ValueId value, Leaf leaf);
  Status add_lexeme(ValueId value, Leaf::Kind kind, ByteDfa dfa);

  Status flatten();
  void measure();
  void prune();
  Status build_names(ObjectRule& object);
  Status check_exclusions();
  bool exclusive(ValueId a, ValueId b, int depth);
  bool exclusive(const Leaf& a, const Leaf& b, int depth);

  GrammarOptions options_;
  CompileBudget budget_;
  GrammarProgram program_;
  std::vector<std::unique_ptr<SchemaDocument>> documents_;
  const SchemaDocument* document_ = nullptr;  // of the schema being added
  std::unordered_map<const SchemaValue*, SchemaKeywords> keywords_;
  std::unordered_map<const SchemaValue*, const SchemaValue*> references_;
  std::unordered_map<std::string, ValueId> values_;            // by conjunction
  std::unordered_map<std::string, LeafId> scalars_;            // by rule
  std::unordered_map<uint32_t, std::vector<Decimal>> listed_;  // numbers of enum and const, by lexeme
  std::vector<std::vector<ValueId>> includes_;                 // per value: others whose alternatives are also its own
  std::vector<Job> jobs_;
  std::vector<Exclusion> exclusions_;
  size_t schema_bytes_ = 0;
  uint64_t parts_ = 0;  // against options_.nodes
};

}  // namespace vitrine
