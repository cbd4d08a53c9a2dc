// Reads a text of a grammar byte by byte (internal to the engine).
//
// The automaton is a pushdown one. A level is an array or object that is open (or what stands around all
// values, or the string or number being read), as a set of items: each is one alternative
// of the schema and where in it the text is. All alternatives agree on where arrays and
// objects begin and end, because JSON shows it; so one stack serves all of them, and when a level ends,
// the alternatives that are complete say which items of the level below go on. This is
// the determinization of visibly pushdown automata (Alur, Madhusudan, 2004), done as the text comes.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/grammar.h"
#include "engine/grammar_program.h"

namespace vitrine {

struct GrammarItem {
  uint32_t leaf = kNone;  // alternative; level of the root: kNone
  uint32_t state = 0;     // automaton's state, or phase of an array or object, or root op
  uint32_t a = 0, b = 0;  // counters, see grammar_matcher.cc
  friend bool operator==(const GrammarItem&, const GrammarItem&) = default;
};

// Immutable once made. Lives in an arena.
struct GrammarLevel {
  enum class Kind : uint8_t { root, scalar, number, array, object };
  const GrammarLevel* below = nullptr;
  const GrammarItem* items = nullptr;
  uint32_t count = 0;
  uint32_t depth = 0;  // open arrays and objects, this one included
  Kind kind = Kind::root;
  std::span<const GrammarItem> all() const { return {items, count}; }
};

// Whether `item` stands between two characters of a name that is none of the declared ones.
bool in_other_name(const GrammarLevel& level, const GrammarItem& item);

// Memory for levels: grows, and goes back to a mark at once.
class LevelArena {
 public:
  struct Mark {
    size_t block = 0, used = 0;
  };
  Mark mark() const { return at_; }
  void rewind(Mark mark) { at_ = mark; }
  void* take(size_t bytes);  // aligned for any level or item

 private:
  struct Block {
    std::unique_ptr<std::byte[]> bytes;
    size_t size = 0;
  };
  std::vector<Block> blocks_;
  Mark at_;
};

// The transitions. `work` counts items looked at. Not thread-safe.
class GrammarStepper {
 public:
  explicit GrammarStepper(const GrammarProgram& program) : program_(program) {}

  const GrammarLevel* start(LevelArena& arena);
  // After `byte`; nothing when no text goes on so.
  const GrammarLevel* step(const GrammarLevel* top, uint8_t byte, LevelArena& arena);
  // Whether the text may end here, and whether it must (of a number this is never said: what follows ends it).
  bool may_end(const GrammarLevel* top, LevelArena& arena);
  bool must_end(const GrammarLevel* top) const;

  const GrammarProgram& program() const { return program_; }
  uint64_t work = 0;

 private:
  const GrammarLevel* make(const GrammarLevel* below, GrammarLevel::Kind kind, uint32_t depth, LevelArena& arena);
  const GrammarLevel* push(const GrammarLevel* top, uint8_t byte, LevelArena& arena);
  const GrammarLevel* pop(const GrammarLevel* top, LevelArena& arena);
  const GrammarLevel* step_scalar(const GrammarLevel* top, uint8_t byte, LevelArena& arena);
  const GrammarLevel* step_number(const GrammarLevel* top, uint8_t byte, LevelArena& arena);
  const GrammarLevel* step_container(const GrammarLevel* top, uint8_t byte, LevelArena& arena);
  const GrammarLevel* step_root(const GrammarLevel* top, uint8_t byte, LevelArena& arena);
  ValueId awaited(const GrammarLevel& level, const GrammarItem& item) const;
  void after_value(const GrammarLevel& level, GrammarItem item);
  void step_array(const GrammarLevel& level, GrammarItem item, uint8_t byte);
  void step_object(const GrammarLevel& level, GrammarItem item, uint8_t byte);
  void enter_root(uint32_t op, uint32_t calls);
  bool fits(ValueId value, uint32_t depth) const;
  bool more_names(const ObjectRule& object, uint32_t from, uint32_t depth) const;
  bool name_possible(const ObjectRule& object, uint32_t from, uint32_t node, uint32_t depth) const;

  const GrammarProgram& program_;
  std::vector<GrammarItem> next_;  // being collected
  std::vector<LeafId> done_;       // alternatives of the level that are complete
  std::vector<LeafId> leaves_;
};

// A text being read. Movable; not thread-safe.
class GrammarMatcher {
 public:
  explicit GrammarMatcher(GrammarPointer grammar);

  const Grammar& grammar() const { return *grammar_; }
  const GrammarPointer& shared() const { return grammar_; }
  // False, and nothing changed, when no text goes on with `bytes`.
  bool accept(std::string_view bytes);
  bool may_end();
  bool must_end() const { return stepper_->must_end(top_); }

  const GrammarLevel* top() const { return top_; }
  GrammarStepper& stepper() { return *stepper_; }

 private:
  GrammarPointer grammar_;
  std::unique_ptr<GrammarStepper> stepper_;
  std::unique_ptr<LevelArena> arena_, other_;
  const GrammarLevel* top_;
};

}  // namespace vitrine
