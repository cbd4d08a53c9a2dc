// What an answer may look like: JSON by a schema, calls of tools, one of several texts.
//
//   auto grammar = compile_json_schema(R"({"type": "object", "properties": {"city": {"type": "string"}}})");
//   engine->add({.prompt = tokens, .grammar = *grammar});     // engine/engine.h
//
// Sources: JSON Schema 2020-12 (core and validation), RFC 8259 (JSON).
//
// THE LANGUAGE. Every text of a compiled schema is JSON that is valid by it. Of the valid
// ones, these are in the language:
// - Members in the order of `properties`, optional ones left out or not, then additional ones;
//   names required but not declared come after the declared ones.
// - White space: in front of all up to two line feeds or one space; after '{' '[' ',' and before
//   '}' ']' nothing, one space, or a line feed with up to 32 spaces and tabs; after ':' nothing or
//   one space. None elsewhere, and none after the end (models loop on white space).
// - Strings in any spelling (well-formed UTF-8, escapes, surrogates in pairs only) where the schema
//   says no more than their length. Names, enum, const, pattern, format: each character in the one
//   spelling JSON.stringify gives it.
// - Numbers: up to 20 digits before the point, 20 behind it, an exponent of up to 2 digits; those
//   with a minimum or maximum have no exponent. Integers are spelled without point and exponent.
//   Numbers of enum and const are spelled as in the schema.
// - Nesting up to GrammarOptions::document_depth.
// - Without `type`, values of the types that the other keywords speak of (of every type when none
//   does); without `additionalProperties`, none beside `properties` (any when there is no
//   `properties`). GrammarOptions::open takes both as JSON Schema does.
//
// KEYWORDS. type, enum, const, properties, required, additionalProperties, items, prefixItems,
// minItems, maxItems, minLength, maxLength, pattern (engine/schema_regex.h says which), format
// (date, time, date-time, duration, uuid, email, hostname, ipv4, ipv6, uri), minimum, maximum,
// exclusiveMinimum, exclusiveMaximum, multipleOf (of integers, up to 1000), allOf, anyOf, oneOf
// (alternatives that exclude each other), $ref within the document (recursion allowed), $defs,
// true, false. Of formats: no leap seconds, no year 0, mail without quoted names and bracketed
// addresses. $schema must name a draft from 06 on. Ignored: title, description, default, examples, deprecated,
// readOnly, writeOnly, $comment, discriminator, x-…. Every other one is refused by name.
//
// COSTS. Compiling is bounded by GrammarOptions; matching is linear in the bytes, for each of
// them at most one step per alternative that is still open.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/digest.h"
#include "base/result.h"

namespace vitrine {

struct GrammarOptions {
  size_t schema_bytes = 1 << 20;  // of all schemas of a grammar
  uint32_t document_depth = 64;   // arrays and objects within each other, in the answer
  uint32_t nodes = 20'000;        // values a schema describes, counted after $ref, allOf and anyOf are resolved
  uint32_t states = 200'000;      // of all automata for strings and numbers
  uint64_t steps = 5'000'000;     // elementary steps of compiling: at most about 0.3 s
  bool open = false;              // see THE LANGUAGE
};

struct GrammarProgram;  // engine/grammar_program.h

// Immutable; may be shared between threads and requests.
class Grammar {
 public:
  explicit Grammar(std::unique_ptr<const GrammarProgram> program, Sha256 id);
  ~Grammar();
  const GrammarProgram& program() const { return *program_; }
  // Of what it was compiled from: equal for equal requests, so that what is computed for one serves the other.
  const Sha256& id() const { return id_; }

 private:
  std::unique_ptr<const GrammarProgram> program_;
  Sha256 id_;
};

using GrammarPointer = std::shared_ptr<const Grammar>;

// One JSON value by `schema`. Errors name the place as a JSON pointer into the schema
// (Error::where, "#/properties/a/pattern"): malformed: no JSON, or a keyword's value is not what it
// must be; unsupported: a keyword or value refused by name; limit: GrammarOptions; usage: no text
// can be valid.
Result<GrammarPointer> compile_json_schema(std::string_view schema, const GrammarOptions& options = {});

// Any JSON object.
Result<GrammarPointer> json_object_grammar(const GrammarOptions& options = {});

// Exactly one of `texts`, none of which may be empty.
Result<GrammarPointer> compile_choice(std::span<const std::string> texts, const GrammarOptions& options = {});

// Calls of tools, spelled as a model's template wants them: begin call (separator call)* end,
// where a call is, for one of the tools: before, JSON by its schema, after.
//   {.tools = {{.name = "f", .before = "<tool_call>\n{\"name\": \"f\", \"arguments\": ", .parameters = schema,
//               .after = "}\n</tool_call>"}}}
// Texts may spell control tokens ("<｜tool▁calls▁begin｜>"); values never do.
struct CallGrammar {
  struct Tool {
    std::string name;  // for errors only: their `where` begins with it
    std::string before;
    std::string parameters;  // JSON Schema; empty: any object
    std::string after;       // must not go on a number: not begin with a digit, '.', 'e', 'E', '+', '-'
  };
  std::vector<Tool> tools;
  std::string begin, separator, end;
  uint32_t calls = 1;  // at most so many
};
Result<GrammarPointer> compile_calls(const CallGrammar& calls, const GrammarOptions& options = {});

// Whether `text` as a whole is in the language.
bool matches(const Grammar& grammar, std::string_view text);

}  // namespace vitrine
