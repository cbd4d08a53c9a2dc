#include "engine/json_schema.h"

#include <algorithm>

#include "base/text.h"

namespace vitrine {
namespace {

constexpr size_t kMaxEntries = 256;  // schemas in one conjunction

void append_id(std::string& key, uint32_t id) {
  for (int shift = 0; shift < 32; shift += 8) key.push_back(static_cast<char>(id >> shift));
}

}  // namespace

SchemaCompiler::SchemaCompiler(const GrammarOptions& options)
    : options_(options), budget_{options.steps, options.states} {
  program_.document_depth = options.document_depth;
}

Result<ValueId> SchemaCompiler::add(std::string_view text, const std::string& where) {
  const auto located = [&](Error error) -> tl::unexpected<Error> {
    if (!where.empty()) error.where = error.where.empty() ? where : where + " " + error.where;
    return tl::unexpected<Error>(std::move(error));
  };
  schema_bytes_ += text.size();
  if (schema_bytes_ > options_.schema_bytes) {
    return located({ErrorCode::limit, "a schema may have " + std::to_string(options_.schema_bytes) + " bytes", ""});
  }
  auto parsed = SchemaDocument::parse(text);
  if (!parsed) return located(parsed.error());
  documents_.push_back(std::make_unique<SchemaDocument>(std::move(*parsed)));
  document_ = documents_.back().get();
  values_.clear();  // keys are numbers of this document's values
  const SchemaValue& root = document_->root();
  if (root.kind != SchemaValue::Kind::object && root.kind != SchemaValue::Kind::boolean) {
    return located({ErrorCode::malformed, "a schema is an object, true or false", "#"});
  }
  const auto value = value_of({{&root, kNone}});
  if (!value) return located(value.error());
  while (!jobs_.empty()) {
    Job job = std::move(jobs_.back());
    jobs_.pop_back();
    if (Status status = resolve(job); !status) {
      Error error = status.error();
      if (error.where.empty() && !job.conjunction.entries.empty()) {
        error.where = job.conjunction.entries[0].schema->pointer();
      }
      return located(std::move(error));
    }
  }
  return value;
}

Result<const SchemaKeywords*> SchemaCompiler::keywords(const SchemaValue& schema) {
  if (const auto found = keywords_.find(&schema); found != keywords_.end()) return &found->second;
  if (!budget_.spend(schema.values.size() + 1)) return over_budget();
  auto read = read_keywords(schema);
  if (!read) return tl::make_unexpected(read.error());
  return &keywords_.emplace(&schema, std::move(*read)).first->second;
}

// Adds a schema to a conjunction, and what its $ref and allOf bring; notes its choices.
Status SchemaCompiler::expand(Conjunction& conjunction, Entry first) {
  std::vector<Entry> work = {first};
  while (!work.empty()) {
    const Entry entry = work.back();
    work.pop_back();
    if (!budget_.spend(1 + conjunction.entries.size())) return over_budget();
    if (entry.schema->kind == SchemaValue::Kind::boolean) {
      if (!entry.schema->truth) conjunction.never = true;
      continue;
    }
    bool known = false;
    for (const Entry& other : conjunction.entries) known = known || other.schema == entry.schema;
    if (known) {
      // Brought by itself, through nothing but references and combinations, it says nothing that can be checked.
      for (uint32_t up = entry.parent; up != kNone; up = conjunction.entries[up].parent) {
        if (conjunction.entries[up].schema == entry.schema) {
          return fail(ErrorCode::malformed, "the schema refers to itself without end", entry.schema->pointer());
        }
      }
      continue;
    }
    if (conjunction.entries.size() == kMaxEntries) {
      return fail(ErrorCode::limit, "more than " + std::to_string(kMaxEntries) + " schemas hold at one place",
                  entry.schema->pointer());
    }
    const auto read = keywords(*entry.schema);
    if (!read) return tl::make_unexpected(read.error());
    const SchemaKeywords& own = **read;
    const auto index = static_cast<uint32_t>(conjunction.entries.size());
    conjunction.entries.push_back(entry);
    if (own.any_of != nullptr) conjunction.choices.push_back({own.any_of, index, false});
    if (own.one_of != nullptr) conjunction.choices.push_back({own.one_of, index, true});
    // The last pushed is the next: allOf in order, behind $ref.
    if (own.all_of != nullptr) {
      for (auto member = own.all_of->values.rbegin(); member != own.all_of->values.rend(); ++member) {
        work.push_back({*member, index});
      }
    }
    if (own.reference != nullptr) {
      auto [found, fresh] = references_.try_emplace(own.reference, nullptr);
      if (fresh) {
        const std::string_view text = own.reference->text;
        if (!text.starts_with("#") || (text.size() > 1 && text[1] != '/')) {
          return fail(ErrorCode::unsupported, "only references by place within the schema (#/…) are followed",
                      own.reference->pointer());
        }
        if (!budget_.spend(own.reference->text.size())) return over_budget();
        found->second = document_->resolve(own.reference->text);
      }
      const SchemaValue* target = found->second;
      if (target == nullptr) {
        return fail(ErrorCode::malformed, "there is no '" + printable(own.reference->text) + "'",
                    own.reference->pointer());
      }
      if (!target->is_object() && target->kind != SchemaValue::Kind::boolean) {
        return fail(ErrorCode::malformed, "it names no schema", own.reference->pointer());
      }
      work.push_back({target, index});
    }
  }
  return {};
}

Result<ValueId> SchemaCompiler::value_of(const std::vector<Entry>& entries) {
  Conjunction conjunction;
  for (const Entry& entry : entries) {
    if (Status status = expand(conjunction, entry); !status) return tl::make_unexpected(status.error());
  }
  return value_of(std::move(conjunction));
}

Result<ValueId> SchemaCompiler::value_of(Conjunction conjunction) {
  std::string key(1, conjunction.never ? '!' : '=');
  for (const Entry& entry : conjunction.entries) append_id(key, entry.schema->id);
  key.push_back('/');
  for (const Choice& choice : conjunction.choices) append_id(key, choice.list->id);
  const auto [found, fresh] = values_.try_emplace(std::move(key), static_cast<ValueId>(program_.values.size()));
  if (!fresh) return found->second;
  if (++parts_ > options_.nodes || !budget_.spend(conjunction.entries.size())) {
    return fail(ErrorCode::limit, "the schema describes more than " + std::to_string(options_.nodes) + " values",
                conjunction.entries.empty() ? "#" : conjunction.entries[0].schema->pointer());
  }
  program_.values.emplace_back();
  includes_.emplace_back();
  jobs_.push_back({found->second, std::move(conjunction)});
  return found->second;
}

Status SchemaCompiler::resolve(Job& job) {
  if (job.conjunction.never) return {};
  return job.conjunction.choices.empty() ? add_leaves(job.value, job.conjunction) : resolve_choice(job);
}

// The first choice: each of its alternatives, joined with the rest.
Status SchemaCompiler::resolve_choice(Job& job) {
  const Choice choice = job.conjunction.choices.front();
  Exclusion exclusion{choice.list, {}};
  for (const SchemaValue* alternative : choice.list->values) {
    Conjunction conjunction = job.conjunction;
    conjunction.choices.erase(conjunction.choices.begin());
    if (Status status = expand(conjunction, {alternative, choice.entry}); !status) return status;
    const auto branch = value_of(std::move(conjunction));
    if (!branch) return tl::make_unexpected(branch.error());
    includes_[job.value].push_back(*branch);
    exclusion.branches.push_back(*branch);
  }
  if (choice.exclusive) exclusions_.push_back(std::move(exclusion));
  return {};
}

Status SchemaCompiler::add_leaf(ValueId value, Leaf leaf) {
  if (++parts_ > options_.nodes) {
    return fail(ErrorCode::limit, "the schema describes more than " + std::to_string(options_.nodes) + " values");
  }
  program_.values[value].leaves.push_back(static_cast<LeafId>(program_.leaves.size()));
  program_.leaves.push_back(leaf);
  return {};
}

Status SchemaCompiler::add_lexeme(ValueId value, Leaf::Kind kind, ByteDfa dfa) {
  if (dfa.empty()) return {};
  program_.lexemes.push_back(std::move(dfa));
  return add_leaf(value, {kind, static_cast<uint32_t>(program_.lexemes.size() - 1), 0});
}

Status SchemaCompiler::add_texts(ValueId value, Leaf::Kind kind, const std::vector<std::string>& texts) {
  if (texts.empty()) return {};
  auto dfa = spell_texts(texts, budget_);
  if (!dfa) return tl::make_unexpected(dfa.error());
  if (kind == Leaf::Kind::number) {
    auto& listed = listed_[static_cast<uint32_t>(program_.lexemes.size())];
    for (const std::string& text : texts) listed.push_back(Decimal::parse(text));
  }
  return add_lexeme(value, kind, std::move(*dfa));
}

// What the keywords of a conjunction leave of each type.
Status SchemaCompiler::add_leaves(ValueId value, const Conjunction& conjunction) {
  using K = SchemaKeywords;
  std::vector<const K*> all;
  uint32_t types = K::kAll, spoken_of = 0;
  bool typed = false, listed = false;
  for (const Entry& entry : conjunction.entries) {
    const auto read = keywords(*entry.schema);
    if (!read) return tl::make_unexpected(read.error());
    const K& own = **read;
    all.push_back(&own);
    if (own.types) {
      types &= (*own.types & K::kNumber) != 0 ? *own.types | K::kInteger : *own.types;
      typed = true;
    }
    listed = listed || own.enumeration != nullptr || own.constant != nullptr;
    spoken_of |= own.spoken_of;
  }
  if (listed) return add_listed(value, all, types);
  if (!typed && spoken_of != 0 && !options_.open) types = spoken_of;
  if (types & K::kNumber) types &= ~K::kInteger;

  std::vector<std::string> words;
  if (types & K::kNull) words.emplace_back("null");
  if (types & K::kBoolean) words.insert(words.end(), {"true", "false"});
  if (Status status = add_texts(value, Leaf::Kind::lexeme, words); !status) return status;
  if (types & (K::kNumber | K::kInteger)) {
    if (Status status = add_number(value, all, (types & K::kNumber) == 0); !status) return status;
  }
  if (types & K::kString) {
    if (Status status = add_string(value, all); !status) return status;
  }
  if (types & K::kArray) {
    if (Status status = add_array(value, all); !status) return status;
  }
  if (types & K::kObject) {
    if (Status status = add_object(value, all); !status) return status;
  }
  return {};
}

Status SchemaCompiler::add_array(ValueId value, const std::vector<const SchemaKeywords*>& all) {
  ArrayRule array;
  size_t prefix = 0;
  for (const SchemaKeywords* own : all) {
    if (own->minimum_items) array.minimum = std::max(array.minimum, *own->minimum_items);
    if (own->maximum_items && *own->maximum_items < kLongest)
      array.maximum = std::min(array.maximum, *own->maximum_items);
    if (own->prefix_items != nullptr) prefix = std::max(prefix, own->prefix_items->values.size());
  }
  // Elements beyond the longest are never written.
  prefix = std::min<size_t>(prefix, array.maximum);
  for (size_t index = 0; index <= prefix; ++index) {
    std::vector<Entry> entries;
    for (size_t i = 0; i < all.size(); ++i) {
      const SchemaKeywords& own = *all[i];
      if (own.prefix_items != nullptr && index < own.prefix_items->values.size() && index < prefix) {
        entries.push_back({own.prefix_items->values[index], kNone});
      } else if (own.items != nullptr) {
        entries.push_back({own.items, kNone});
      }
    }
    const auto element = value_of(entries);
    if (!element) return tl::make_unexpected(element.error());
    if (index < prefix) {
      array.prefix.push_back(*element);
    } else {
      array.items = *element;
    }
  }
  program_.arrays.push_back(std::move(array));
  return add_leaf(value, {Leaf::Kind::array, static_cast<uint32_t>(program_.arrays.size() - 1), 0});
}

Status SchemaCompiler::add_object(ValueId value, const std::vector<const SchemaKeywords*>& all) {
  ObjectRule object;
  std::unordered_map<std::string_view, uint32_t> known;
  const auto declare = [&](const std::string& name) -> uint32_t {
    const auto [found, fresh] = known.try_emplace(name, static_cast<uint32_t>(object.properties.size()));
    if (fresh) object.properties.push_back({name, kNone, false});
    return found->second;
  };
  bool closed = false;  // without additionalProperties, properties say what there is
  std::vector<Entry> additional;
  for (const SchemaKeywords* own : all) {
    if (own->properties != nullptr) {
      closed = true;
      for (const std::string& name : own->properties->names) declare(name);
    }
    if (own->additional != nullptr) additional.push_back({own->additional, kNone});
  }
  for (const SchemaKeywords* own : all) {
    if (own->required == nullptr) continue;
    for (const SchemaValue* name : own->required->values) object.properties[declare(name->text)].required = true;
  }
  parts_ += object.properties.size();
  if (parts_ > options_.nodes || !budget_.spend(object.properties.size() * all.size())) {
    return fail(ErrorCode::limit, "the schema describes more than " + std::to_string(options_.nodes) + " values");
  }
  for (ObjectRule::Property& property : object.properties) {
    std::vector<Entry> entries;
    for (const SchemaKeywords* own : all) {
      const SchemaValue* declared = own->properties != nullptr ? own->properties->find(property.name) : nullptr;
      if (declared != nullptr) {
        entries.push_back({declared, kNone});
      } else if (own->additional != nullptr) {
        entries.push_back({own->additional, kNone});
      }
    }
    const auto member = value_of(entries);
    if (!member) return tl::make_unexpected(member.error());
    property.value = *member;
  }
  if (!additional.empty() || !closed || options_.open) {
    const auto other = value_of(additional);
    if (!other) return tl::make_unexpected(other.error());
    object.additional = *other;
  }
  program_.objects.push_back(std::move(object));
  return add_leaf(value, {Leaf::Kind::object, static_cast<uint32_t>(program_.objects.size() - 1), 0});
}

}  // namespace vitrine
