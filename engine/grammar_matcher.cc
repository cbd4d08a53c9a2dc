#include "engine/grammar_matcher.h"

#include <algorithm>
#include <cstring>
#include <tuple>

namespace vitrine {
namespace {

constexpr uint32_t kMaxIndent = 32;

// White space of one gap: nothing yet, one space (complete), or a line feed and so many spaces and tabs.
enum : uint32_t { kNoSpace = 0, kOneSpace = 1, kLineFeed = 2 };

// The gap after `byte`; kNone when it is none that may stand here.
uint32_t space_after(uint32_t space, uint8_t byte) {
  if (space == kNoSpace) return byte == ' ' ? kOneSpace : byte == '\n' ? kLineFeed : kNone;
  if (space >= kLineFeed && space < kLineFeed + kMaxIndent && (byte == ' ' || byte == '\t')) return space + 1;
  return kNone;
}

// An item's state in an array or object: a phase and the gap in it.
//   array:  a = elements so far
//   object: b = the first property that may still come; a = key: node of the names or automaton's state;
//           colon, value: the property, kNone for an additional one
enum Phase : uint32_t {
  kFirst = 0,  // behind the bracket
  kNext = 1,   // behind a comma
  kAfter = 2,  // behind a value
  kKey = 3,    // in a name, which so far is a declared one's beginning
  kOther = 4,  // in a name that is not declared
  kColon = 5,
  kValue = 6,
};
constexpr uint32_t phase_of(uint32_t state) { return state & 7; }
constexpr uint32_t space_of(uint32_t state) { return state >> 3; }
constexpr uint32_t state_of(Phase phase, uint32_t space = kNoSpace) { return phase | space << 3; }

bool begins_value(uint8_t byte) {
  return byte == '"' || byte == '{' || byte == '[' || byte == '-' || (byte >= '0' && byte <= '9') || byte == 't' ||
         byte == 'f' || byte == 'n';
}

bool continues_number(uint8_t byte) {
  return (byte >= '0' && byte <= '9') || byte == '.' || byte == 'e' || byte == 'E' || byte == '+' || byte == '-';
}

bool intersects(const std::vector<LeafId>& a, const std::vector<LeafId>& b) {  // both ascending
  if (a.size() > 8 * b.size()) {
    return std::any_of(b.begin(), b.end(), [&](LeafId id) { return std::binary_search(a.begin(), a.end(), id); });
  }
  for (size_t i = 0, j = 0; i < a.size() && j < b.size();) {
    if (a[i] == b[j]) return true;
    if (a[i] < b[j]) {
      ++i;
    } else {
      ++j;
    }
  }
  return false;
}

}  // namespace

bool in_other_name(const GrammarLevel& level, const GrammarItem& item) {
  return level.kind == GrammarLevel::Kind::object && phase_of(item.state) == kOther && item.a == kNameInside;
}

uint32_t NameTrie::child(uint32_t node, uint8_t byte) const {
  const auto first = children.begin() + nodes[node].first_edge, last = first + nodes[node].edges;
  const auto at = std::lower_bound(first, last, byte, [](const Child& c, uint8_t wanted) { return c.byte < wanted; });
  return at != last && at->byte == byte ? at->node : kNone;
}

const ByteDfa& any_name() {
  static const ByteDfa dfa = [] {
    CompileBudget budget{1 << 20, 1 << 12};
    return std::move(*spell_json_string(any_text(), budget));
  }();
  return dfa;
}

void* LevelArena::take(size_t bytes) {
  bytes = (bytes + 15) & ~size_t{15};
  while (true) {
    if (at_.block == blocks_.size()) {
      const size_t size = std::max<size_t>(bytes, size_t{1} << 15);
      blocks_.push_back({std::make_unique<std::byte[]>(size), size});
    }
    if (blocks_[at_.block].size - at_.used >= bytes) break;
    if (at_.used == 0) {  // too small from the start
      blocks_[at_.block] = {std::make_unique<std::byte[]>(bytes), bytes};
      break;
    }
    at_ = {at_.block + 1, 0};
  }
  void* out = blocks_[at_.block].bytes.get() + at_.used;
  at_.used += bytes;
  return out;
}

// A level of what was collected in next_; nothing when that is nothing.
const GrammarLevel* GrammarStepper::make(const GrammarLevel* below, GrammarLevel::Kind kind, uint32_t depth,
                                         LevelArena& arena) {
  if (next_.empty()) return nullptr;
  if (next_.size() > 1) {
    const auto key = [](const GrammarItem& item) { return std::tie(item.leaf, item.state, item.a, item.b); };
    std::sort(next_.begin(), next_.end(), [&](const GrammarItem& x, const GrammarItem& y) { return key(x) < key(y); });
    next_.erase(std::unique(next_.begin(), next_.end()), next_.end());
  }
  auto* items = static_cast<GrammarItem*>(arena.take(next_.size() * sizeof(GrammarItem)));
  std::memcpy(items, next_.data(), next_.size() * sizeof(GrammarItem));
  auto* level = new (arena.take(sizeof(GrammarLevel))) GrammarLevel;
  level->below = below;
  level->items = items;
  level->count = static_cast<uint32_t>(next_.size());
  level->depth = depth;
  level->kind = kind;
  return level;
}

bool GrammarStepper::fits(ValueId value, uint32_t depth) const {
  return value != kNone && program_.values[value].height <= program_.document_depth - depth;
}

// Whether a name may follow from property `from` on.
bool GrammarStepper::more_names(const ObjectRule& object, uint32_t from, uint32_t depth) const {
  const auto count = static_cast<uint32_t>(object.properties.size());
  const uint32_t last = std::min(object.required_at[from] + 1, count);
  for (uint32_t i = from; i < last; ++i) {
    if (fits(object.properties[i].value, depth)) return true;
  }
  return object.required_at[from] == count && fits(object.additional, depth);
}

// Whether a name that goes through `node` of the names may.
bool GrammarStepper::name_possible(const ObjectRule& object, uint32_t from, uint32_t node, uint32_t depth) const {
  const auto count = static_cast<uint32_t>(object.properties.size());
  const uint32_t required = object.required_at[from];
  if (required == count && fits(object.additional, depth)) return true;
  const NameTrie::Node& at = object.names.nodes[node];
  const auto first = object.names.below.begin() + at.first_name, end = first + at.names;
  for (auto name = std::lower_bound(first, end, from); name != end && *name <= required; ++name) {
    if (fits(object.properties[*name].value, depth)) return true;
  }
  return false;
}

// The value that may begin now in this item, or kNone.
ValueId GrammarStepper::awaited(const GrammarLevel& level, const GrammarItem& item) const {
  switch (level.kind) {
    case GrammarLevel::Kind::root: {
      const RootOp& op = program_.root[item.state];
      return op.kind == RootOp::Kind::value ? op.value : kNone;
    }
    case GrammarLevel::Kind::array: {
      const uint32_t phase = phase_of(item.state);
      if (phase != kFirst && phase != kNext) return kNone;
      const ArrayRule& array = program_.arrays[program_.leaves[item.leaf].index];
      if (item.a >= array.maximum) return kNone;
      const ValueId value = array.at(item.a);
      return fits(value, level.depth) ? value : kNone;
    }
    case GrammarLevel::Kind::object: {
      if (phase_of(item.state) != kValue) return kNone;
      const ObjectRule& object = program_.objects[program_.leaves[item.leaf].index];
      return item.a == kNone ? object.additional : object.properties[item.a].value;
    }
    default: return kNone;
  }
}

// Collects what item of `level` is after the value it awaited.
void GrammarStepper::after_value(const GrammarLevel& level, GrammarItem item) {
  if (level.kind == GrammarLevel::Kind::root) {
    enter_root(program_.root[item.state].next[0], item.b);
    return;
  }
  item.state = state_of(kAfter);
  if (level.kind == GrammarLevel::Kind::array) {
    // Where more elements make no difference the count stands still, so that the state does too.
    const ArrayRule& array = program_.arrays[program_.leaves[item.leaf].index];
    const uint32_t still = std::max(array.minimum, static_cast<uint32_t>(array.prefix.size()));
    if (array.maximum != kUnbounded || item.a < still) ++item.a;
  } else {
    const ObjectRule& object = program_.objects[program_.leaves[item.leaf].index];
    item.b = item.a == kNone ? static_cast<uint32_t>(object.properties.size()) : item.a + 1;
    item.a = 0;
  }
  next_.push_back(item);
}

const GrammarLevel* GrammarStepper::start(LevelArena& arena) {
  next_.clear();
  enter_root(0, 0);
  return make(nullptr, GrammarLevel::Kind::root, 0, arena);
}

// root items: state = op, a = progress in its text or space, b = calls so far
void GrammarStepper::enter_root(uint32_t index, uint32_t calls) {
  const RootOp& op = program_.root[index];
  switch (op.kind) {
    case RootOp::Kind::fork:
      for (const uint32_t next : op.next) enter_root(next, calls);
      return;
    case RootOp::Kind::again:
      if (calls + 1 < program_.calls) enter_root(op.next[0], calls + 1);
      enter_root(op.next[1], calls + 1);
      return;
    case RootOp::Kind::text:
      if (op.text.empty()) return enter_root(op.next[0], calls);
      break;
    case RootOp::Kind::space: enter_root(op.next[0], calls); break;
    default: break;
  }
  next_.push_back({kNone, index, 0, calls});
}

const GrammarLevel* GrammarStepper::step_root(const GrammarLevel* top, uint8_t byte, LevelArena& arena) {
  next_.clear();
  for (const GrammarItem& item : top->all()) {
    const RootOp& op = program_.root[item.state];
    if (op.kind == RootOp::Kind::text && static_cast<uint8_t>(op.text[item.a]) == byte) {
      if (item.a + 1 == op.text.size()) {
        enter_root(op.next[0], item.b);
      } else {
        next_.push_back({kNone, item.state, item.a + 1, item.b});
      }
    } else if (op.kind == RootOp::Kind::space && (byte == '\n' || (byte == ' ' && item.a == 0))) {
      // One space, or one or two line feeds; what follows may begin after each.
      if (byte == '\n' && item.a == 0) next_.push_back({kNone, item.state, 1, item.b});
      enter_root(op.next[0], item.b);
    }
  }
  return make(nullptr, GrammarLevel::Kind::root, 0, arena);
}

// A value begins: the items that await one stay, and the alternatives of all of them are on top.
const GrammarLevel* GrammarStepper::push(const GrammarLevel* top, uint8_t byte, LevelArena& arena) {
  leaves_.clear();
  next_.clear();
  for (const GrammarItem& item : top->all()) {
    const ValueId value = awaited(*top, item);
    if (value == kNone) continue;
    next_.push_back(item);
    const auto& more = program_.values[value].leaves;
    leaves_.insert(leaves_.end(), more.begin(), more.end());
  }
  if (next_.empty()) return nullptr;
  const GrammarLevel* below = top;
  if (next_.size() > 1) {
    std::sort(leaves_.begin(), leaves_.end());
    leaves_.erase(std::unique(leaves_.begin(), leaves_.end()), leaves_.end());
  }
  const LevelArena::Mark before = arena.mark();
  if (next_.size() < top->count) below = make(top->below, top->kind, top->depth, arena);
  next_.clear();
  work += leaves_.size();
  const uint32_t room = program_.document_depth - top->depth;
  for (const LeafId id : leaves_) {
    const Leaf& leaf = program_.leaves[id];
    if (leaf.height > room) continue;
    switch (leaf.kind) {
      case Leaf::Kind::text:
        if (byte == '"') next_.push_back({id, kTextInside, 0, 0});
        break;
      case Leaf::Kind::lexeme:
      case Leaf::Kind::number: {
        const uint32_t state = program_.lexemes[leaf.index].step(ByteDfa::kStart, byte);
        if (state != ByteDfa::kDead) next_.push_back({id, state, 0, 0});
        break;
      }
      case Leaf::Kind::array:
        if (byte == '[') next_.push_back({id, state_of(kFirst), 0, 0});
        break;
      case Leaf::Kind::object:
        if (byte == '{') next_.push_back({id, state_of(kFirst), 0, 0});
        break;
    }
  }
  if (next_.empty()) {
    arena.rewind(before);
    return nullptr;
  }
  const bool container = byte == '[' || byte == '{';
  const auto kind = byte == '['                 ? GrammarLevel::Kind::array
                    : byte == '{'               ? GrammarLevel::Kind::object
                    : byte == '"' || byte > '9' ? GrammarLevel::Kind::scalar
                                                : GrammarLevel::Kind::number;
  return make(below, kind, top->depth + container, arena);
}

// The level on top is complete in the alternatives of done_.
const GrammarLevel* GrammarStepper::pop(const GrammarLevel* top, LevelArena& arena) {
  std::sort(done_.begin(), done_.end());
  next_.clear();
  for (const GrammarItem& item : top->below->all()) {
    ++work;
    if (intersects(program_.values[awaited(*top->below, item)].leaves, done_)) after_value(*top->below, item);
  }
  return make(top->below->below, top->below->kind, top->below->depth, arena);
}

const GrammarLevel* GrammarStepper::step_scalar(const GrammarLevel* top, uint8_t byte, LevelArena& arena) {
  done_.clear();
  next_.clear();
  bool same = true;
  for (const GrammarItem& item : top->all()) {
    const Leaf& leaf = program_.leaves[item.leaf];
    if (leaf.kind != Leaf::Kind::text) {
      const ByteDfa& dfa = program_.lexemes[leaf.index];
      const uint32_t state = dfa.step(item.state, byte);
      same = same && state == item.state;
      if (state == ByteDfa::kDead) continue;
      // Strings and words are complete with their last byte.
      if (dfa.accepts(state)) {
        done_.push_back(item.leaf);
      } else {
        next_.push_back({item.leaf, state, 0, 0});
      }
      continue;
    }
    const TextRule& text = program_.texts[leaf.index];
    GrammarItem to = item;
    to.state = any_json_string().step(item.state, byte);
    if (item.state == kTextInside && to.state != kTextEnd) {
      // Beyond the minimum the count matters only where there is a maximum.
      if (item.a == text.maximum) to.state = ByteDfa::kDead;
      if (text.maximum != kUnbounded || item.a < text.minimum) ++to.a;
    }
    if (to.state == kTextEnd && item.a < text.minimum) to.state = ByteDfa::kDead;
    same = same && to == item;
    if (to.state == ByteDfa::kDead) continue;
    if (to.state == kTextEnd) {
      done_.push_back(item.leaf);
    } else {
      next_.push_back(to);
    }
  }
  if (same) return top;
  return done_.empty() ? make(top->below, top->kind, top->depth, arena) : pop(top, arena);
}

// Where a number ends only what follows it shows.
const GrammarLevel* GrammarStepper::step_number(const GrammarLevel* top, uint8_t byte, LevelArena& arena) {
  done_.clear();
  next_.clear();
  const bool goes_on = continues_number(byte);
  for (const GrammarItem& item : top->all()) {
    const ByteDfa& dfa = program_.lexemes[program_.leaves[item.leaf].index];
    if (goes_on) {
      const uint32_t state = dfa.step(item.state, byte);
      if (state != ByteDfa::kDead) next_.push_back({item.leaf, state, 0, 0});
    } else if (dfa.accepts(item.state)) {
      done_.push_back(item.leaf);
    }
  }
  if (goes_on) return make(top->below, top->kind, top->depth, arena);
  if (done_.empty()) return nullptr;
  const GrammarLevel* below = pop(top, arena);
  return below == nullptr ? nullptr : step(below, byte, arena);
}

void GrammarStepper::step_array(const GrammarLevel& level, GrammarItem item, uint8_t byte) {
  const ArrayRule& array = program_.arrays[program_.leaves[item.leaf].index];
  const uint32_t phase = phase_of(item.state), space = space_of(item.state);
  if (byte == ']') {
    if (phase != kNext && item.a >= array.minimum) done_.push_back(item.leaf);
  } else if (byte == ',') {
    if (phase == kAfter && space == kNoSpace && item.a < array.maximum && fits(array.at(item.a), level.depth)) {
      item.state = state_of(kNext);
      next_.push_back(item);
    }
  } else if (const uint32_t more = space_after(space, byte); more != kNone) {
    // White space leads on to the bracket (not behind a comma) or to an element (not behind one).
    const bool may_close = phase != kNext && item.a >= array.minimum;
    const bool may_begin = phase != kAfter && item.a < array.maximum && fits(array.at(item.a), level.depth);
    if (may_close || may_begin) {
      item.state = state_of(static_cast<Phase>(phase), more);
      next_.push_back(item);
    }
  }
}

void GrammarStepper::step_object(const GrammarLevel& level, GrammarItem item, uint8_t byte) {
  const ObjectRule& object = program_.objects[program_.leaves[item.leaf].index];
  const auto count = static_cast<uint32_t>(object.properties.size());
  const uint32_t phase = phase_of(item.state), space = space_of(item.state);
  const bool all_there = object.required_at[item.b] == count;
  switch (phase) {
    case kFirst:
    case kNext:
    case kAfter:
      if (byte == '}') {
        if (phase != kNext && all_there) done_.push_back(item.leaf);
      } else if (byte == '"') {
        if (phase != kAfter && more_names(object, item.b, level.depth)) {
          const bool declared =
              object.names.nodes.size() > 1 || object.names.nodes[0].name != kNone || object.names.nodes[0].closed;
          item.state = state_of(declared ? kKey : kOther);
          item.a = declared ? 0 : kNameInside;
          next_.push_back(item);
        }
      } else if (byte == ',') {
        if (phase == kAfter && space == kNoSpace && more_names(object, item.b, level.depth)) {
          item.state = state_of(kNext);
          next_.push_back(item);
        }
      } else if (const uint32_t more = space_after(space, byte); more != kNone) {
        const bool may_close = phase != kNext && all_there;
        if (may_close || (phase != kAfter && more_names(object, item.b, level.depth))) {
          item.state = state_of(static_cast<Phase>(phase), more);
          next_.push_back(item);
        }
      }
      return;
    case kKey: {
      const NameTrie::Node& node = object.names.nodes[item.a];
      const bool others = all_there && fits(object.additional, level.depth);
      const uint32_t inside = any_name().step(node.inside, byte);
      if (byte == '"' && node.inside == kNameInside) {
        if (node.name != kNone) {
          if (node.name < item.b || node.name > object.required_at[item.b] ||
              !fits(object.properties[node.name].value, level.depth)) {
            return;
          }
          item.a = node.name;
        } else {
          if (node.closed || !others) return;
          item.a = kNone;
        }
        item.state = state_of(kColon);
      } else if (const uint32_t child = object.names.child(item.a, byte); child != kNone) {
        if (!name_possible(object, item.b, child, level.depth)) return;
        item.a = child;
      } else {
        if (!others || inside == ByteDfa::kDead) return;
        item.state = state_of(kOther);
        item.a = inside;
      }
      next_.push_back(item);
      return;
    }
    case kOther: {
      const bool closes = byte == '"' && item.a == kNameInside;
      item.a = any_name().step(item.a, byte);
      if (item.a == ByteDfa::kDead) return;
      if (closes) {
        item.state = state_of(kColon);
        item.a = kNone;
      }
      next_.push_back(item);
      return;
    }
    case kColon:
      if (byte != ':') return;
      item.state = state_of(kValue);
      next_.push_back(item);
      return;
    case kValue:
      if (byte != ' ' || space != kNoSpace) return;
      item.state = state_of(kValue, kOneSpace);
      next_.push_back(item);
      return;
  }
}

const GrammarLevel* GrammarStepper::step_container(const GrammarLevel* top, uint8_t byte, LevelArena& arena) {
  done_.clear();
  next_.clear();
  for (const GrammarItem& item : top->all()) {
    if (top->kind == GrammarLevel::Kind::array) {
      step_array(*top, item, byte);
    } else {
      step_object(*top, item, byte);
    }
  }
  if (!done_.empty()) return pop(top, arena);
  if (next_.size() == top->count && std::equal(next_.begin(), next_.end(), top->items)) return top;
  return make(top->below, top->kind, top->depth, arena);
}

const GrammarLevel* GrammarStepper::step(const GrammarLevel* top, uint8_t byte, LevelArena& arena) {
  work += top->count;
  switch (top->kind) {
    case GrammarLevel::Kind::scalar: return step_scalar(top, byte, arena);
    case GrammarLevel::Kind::number: return step_number(top, byte, arena);
    default: break;
  }
  // In an object '"' begins a name, unless a value is awaited: never both.
  if (begins_value(byte)) {
    if (const GrammarLevel* pushed = push(top, byte, arena)) return pushed;
  }
  return top->kind == GrammarLevel::Kind::root ? step_root(top, byte, arena) : step_container(top, byte, arena);
}

bool GrammarStepper::may_end(const GrammarLevel* top, LevelArena& arena) {
  if (top->kind == GrammarLevel::Kind::number) {
    done_.clear();
    for (const GrammarItem& item : top->all()) {
      if (program_.lexemes[program_.leaves[item.leaf].index].accepts(item.state)) done_.push_back(item.leaf);
    }
    if (done_.empty()) return false;
    top = pop(top, arena);
  }
  return top != nullptr && top->kind == GrammarLevel::Kind::root &&
         std::any_of(top->items, top->items + top->count,
                     [this](const GrammarItem& item) { return program_.root[item.state].kind == RootOp::Kind::done; });
}

bool GrammarStepper::must_end(const GrammarLevel* top) const {
  return top->kind == GrammarLevel::Kind::root &&
         std::all_of(top->items, top->items + top->count,
                     [this](const GrammarItem& item) { return program_.root[item.state].kind == RootOp::Kind::done; });
}

GrammarMatcher::GrammarMatcher(GrammarPointer grammar)
    : grammar_(std::move(grammar)),
      stepper_(std::make_unique<GrammarStepper>(grammar_->program())),
      arena_(std::make_unique<LevelArena>()),
      other_(std::make_unique<LevelArena>()),
      top_(stepper_->start(*arena_)) {}

bool GrammarMatcher::accept(std::string_view bytes) {
  const LevelArena::Mark before = arena_->mark();
  const GrammarLevel* top = top_;
  for (const char byte : bytes) {
    top = stepper_->step(top, static_cast<uint8_t>(byte), *arena_);
    if (top == nullptr) {
      arena_->rewind(before);
      return false;
    }
  }
  // What is no longer on the stack is left behind.
  std::vector<const GrammarLevel*> stack;
  for (const GrammarLevel* level = top; level != nullptr; level = level->below) stack.push_back(level);
  other_->rewind({});
  const GrammarLevel* below = nullptr;
  for (auto level = stack.rbegin(); level != stack.rend(); ++level) {
    auto* items = static_cast<GrammarItem*>(other_->take((*level)->count * sizeof(GrammarItem)));
    std::memcpy(items, (*level)->items, (*level)->count * sizeof(GrammarItem));
    auto* copy = new (other_->take(sizeof(GrammarLevel))) GrammarLevel(**level);
    copy->below = below;
    copy->items = items;
    below = copy;
  }
  std::swap(arena_, other_);
  top_ = below;
  return true;
}

bool GrammarMatcher::may_end() {
  const LevelArena::Mark before = arena_->mark();
  const bool out = stepper_->may_end(top_, *arena_);
  arena_->rewind(before);
  return out;
}

}  // namespace vitrine
