#include "audit/keystroke_detector.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <vector>

#include "audit/client_rules.h"
#include "audit/keystroke_shapes.h"

namespace vitrine {
namespace {

constexpr size_t kMaxCells = 65536;
constexpr size_t kMaxContainers = 4096;
constexpr size_t kMaxColumns = 40;   // of one container; a wider table is no list of events
constexpr size_t kMaxFindings = 64;  // of one part
constexpr PatternId kMaxPatterns = 1 << 18;
constexpr uint32_t kNone = UINT32_MAX;

bool digit(char c) { return c >= '0' && c <= '9'; }

// Where the last array index of a path stands: [at, end) is "/12". False when
// there is none.
bool last_index(std::string_view path, size_t& at, size_t& end) {
  size_t stop = path.size();
  while (stop > 1) {
    size_t i = stop;
    while (i > 0 && digit(path[i - 1])) --i;
    if (i < stop && stop - i <= 7 && i > 0 && path[i - 1] == '/') {
      at = i - 1;
      end = stop;
      return true;
    }
    while (i > 0 && path[i - 1] != '/' && path[i - 1] != '|') --i;
    if (i == 0) return false;
    stop = i - 1;
  }
  return false;
}

uint32_t to_index(std::string_view digits) {
  uint32_t value = 0;
  for (char c : digits) value = value * 10 + static_cast<uint32_t>(c - '0');
  return value;
}

// Plain decimals without from_chars' generality: most cells are whole numbers.
bool read_number(std::string_view text, double& out) {
  if (text.empty() || text.size() > 24) return false;
  int64_t value = 0;
  const size_t start = text[0] == '-' ? 1 : 0;
  size_t i = start;
  if (i == text.size() || (!digit(text[i]) && text[i] != '.')) return false;  // "inf" and "nan" are no numbers here
  if (text.size() <= 17) {
    for (; i < text.size() && digit(text[i]); ++i) value = value * 10 + (text[i] - '0');
    if (i == text.size()) {
      out = static_cast<double>(text[0] == '-' ? -value : value);
      return true;
    }
    if (text[i] == '.' && i > start && i + 1 < text.size() && text.size() - start <= 16) {
      // At most 15 digits and a power of ten that a double holds: one exact division.
      static constexpr double kPowers[] = {1e0, 1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                           1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
      const size_t point = i++;
      for (; i < text.size() && digit(text[i]); ++i) value = value * 10 + (text[i] - '0');
      if (i == text.size()) {
        const double number = static_cast<double>(value) / kPowers[i - point - 1];
        out = text[0] == '-' ? -number : number;
        return true;
      }
    }
  }
  const char* end = text.data() + text.size();
  const auto read = std::from_chars(text.data(), end, out);
  return read.ec == std::errc{} && read.ptr == end && std::isfinite(out);
}

// Names of a path, normalised, divided by spaces: "events params kd".
std::string names_in(std::string_view path) {
  std::string out;
  size_t at = std::min(path.find_first_of(":|/"), path.size());
  while (at < path.size()) {
    const char mark = path[at];
    const size_t end = std::min(path.find_first_of("|/:", at + 1), path.size());
    const std::string_view word = path.substr(at + 1, end - at - 1);
    at = end;
    if (mark == '|' || word.empty() || std::all_of(word.begin(), word.end(), digit)) continue;
    if (!out.empty()) out.push_back(' ');
    out += normalised_name(word);
    if (out.size() > 1000) break;
  }
  return out;
}

std::string_view last_name(std::string_view path) {
  size_t end = path.size();
  while (end > 0) {
    const size_t start = path.find_last_of("/|:", end - 1);
    if (start == std::string_view::npos) return path.substr(0, end);
    const std::string_view word = path.substr(start + 1, end - start - 1);
    if (path[start] != '|' && !word.empty() && !std::all_of(word.begin(), word.end(), digit)) return word;
    end = start;
  }
  return {};
}

}  // namespace

struct KeystrokeDetector::State {
  struct Cell {
    double number;
    uint32_t row, word, next;
    bool key_like;
  };
  struct Text {
    uint32_t offset = 0, length = 0;
  };
  struct Column {
    Text name;  // rest of the path behind the row's index; empty for a flat list
    uint32_t first = kNone, last = kNone, count = 0;
  };
  struct Container {
    uint64_t hash = 0;
    Text path;
    uint32_t rows = 0;      // highest row + 1
    uint32_t expected = 0;  // column that is likely to come next
    uint32_t first_column = 0, columns = 0;
    OriginId origin = 0;
    uint64_t packet = 0;
    Timestamp time;
    Location location = Location::body;
    bool flat = false;
    std::vector<Column> column;
  };

  // What paths of one pattern have in common: the text behind their last array
  // index, and, within a part, the column that the pattern's last field joined.
  struct Known {
    bool indexed = false;
    std::string rest;
    uint64_t part = 0;
    uint32_t container = kNone, column = 0;
  };

  State(const Taxonomy& taxonomy, FieldSink& sink)
      : next(sink),
        keystroke(taxonomy.find("behaviour.keystroke-dynamics")),
        activity(taxonomy.find("behaviour.activity-timing")),
        slots(kMaxContainers * 2, kNone) {}

  std::string_view text(Text t) const { return std::string_view(arena).substr(t.offset, t.length); }
  Text keep(std::string_view s) {
    const Text t{static_cast<uint32_t>(arena.size()), static_cast<uint32_t>(s.size())};
    arena.append(s);
    return t;
  }

  Container* container(std::string_view path, bool flat, const Field& field) {
    // Neighbours mostly share their container.
    for (const uint32_t recent : {recent_a, recent_b})
      if (recent != kNone && containers[recent].flat == flat && text(containers[recent].path) == path)
        return &containers[recent];
    const uint64_t hash = std::hash<std::string_view>{}(path)*2 + flat;
    size_t slot = hash % slots.size();
    while (slots[slot] != kNone) {
      const Container& held = containers[slots[slot]];
      if (held.hash == hash && held.flat == flat && text(held.path) == path) break;
      slot = (slot + 1) % slots.size();
    }
    if (slots[slot] == kNone) {
      if (used == kMaxContainers) {
        ++overflow;
        return nullptr;
      }
      if (used == containers.size()) containers.emplace_back();
      slots[slot] = static_cast<uint32_t>(used);
      used_slots.push_back(static_cast<uint32_t>(slot));
      Container& fresh = containers[used++];
      fresh.hash = hash;
      fresh.path = keep(path);
      fresh.rows = 0;
      fresh.expected = 0;
      fresh.column.clear();
      fresh.origin = field.origin;
      fresh.packet = field.packet;
      fresh.time = field.time;
      fresh.location = field.location;
      fresh.flat = flat;
    }
    recent_b = recent_a;
    recent_a = slots[slot];
    return &containers[recent_a];
  }

  // Where the last array index of the field's path stands (last_index).
  bool find_index(const Field& field, Known* known, size_t& at, size_t& end) const {
    if (known == nullptr) return last_index(field.path, at, end);
    if (known->indexed) {
      end = field.path.size() - std::min(known->rest.size(), field.path.size());
      at = end;
      while (at > 0 && digit(field.path[at - 1])) --at;
      if (at < end && end - at <= 7 && at > 0 && field.path[at - 1] == '/' && field.path.substr(end) == known->rest) {
        --at;
        return true;
      }
      return last_index(field.path, at, end);  // a repeated name: "/t[1]"
    }
    if (!last_index(field.path, at, end)) return false;
    known->indexed = true;
    known->rest = field.path.substr(end);
    return true;
  }

  Known* known_of(PatternId pattern) {
    if (pattern == 0 || pattern > kMaxPatterns) return nullptr;
    if (pattern >= patterns.size()) patterns.resize(std::max<size_t>(pattern + 1, patterns.size() * 2));
    return &patterns[pattern];
  }

  void put(Container& held, size_t c, uint32_t row, const EventCell& cell) {
    Column& column = held.column[c];
    const auto index = static_cast<uint32_t>(cells.size());
    cells.push_back({cell.number, row, cell.word, kNone, cell.key_like});
    if (column.last == kNone) {
      column.first = index;
    } else {
      cells[column.last].next = index;
    }
    column.last = index;
    ++column.count;
    held.rows = std::max(held.rows, row + 1);
    held.expected = static_cast<uint32_t>(c + 1);
  }

  // `known`: of a field whose rows are those of its last index, else nullptr.
  void add(std::string_view path, bool flat, uint32_t row, std::string_view name, const EventCell& cell,
           const Field& field, Known* known = nullptr) {
    if (row >= kMaxEventRows * (flat ? 2 : 1)) return;
    if (cells.size() >= kMaxCells) {
      ++overflow;
      return;
    }
    if (known != nullptr && known->part == part && known->rest == name &&
        text(containers[known->container].path) == path) {
      put(containers[known->container], known->column, row, cell);
      return;
    }
    Container* held = container(path, flat, field);
    if (!held) return;
    const size_t count = held->column.size();
    size_t c = held->expected < count ? held->expected : 0;
    size_t tried = 0;
    for (; tried < count; ++tried, c = c + 1 == count ? 0 : c + 1)
      if (text(held->column[c].name) == name) break;
    if (tried == count) {
      if (count == kMaxColumns) return;
      c = count;
      held->column.push_back({keep(name), kNone, kNone, 0});
    }
    put(*held, c, row, cell);
    if (known != nullptr && known->rest == name) {
      known->part = part;
      known->container = recent_a;
      known->column = static_cast<uint32_t>(c);
    }
  }

  void collect(const Field& field);
  void judge(const Exchange& exchange);
  void emit(const Exchange& exchange, const Container& at, const KeystrokeFinding& finding);
  void reset();

  FieldSink& next;
  TypeId keystroke, activity;
  std::vector<Cell> cells;
  std::vector<Container> containers;
  std::vector<uint32_t> slots, used_slots;
  std::string arena;
  std::vector<Known> patterns;  // by PatternId: one table of patterns per shard, as there is one detector
  uint64_t part = 1;
  size_t used = 0, found = 0;
  uint32_t recent_a = kNone, recent_b = kNone;
  uint64_t overflow = 0;
  bool client = false;
};

void KeystrokeDetector::State::collect(const Field& field) {
  const std::string_view path = field.path, value = field.value;
  size_t at = 0, end = 0;
  Known* const known = known_of(field.pattern);
  if (value.size() > 24 || !find_index(field, known, at, end)) return;
  EventCell cell{std::numeric_limits<double>::quiet_NaN(), 0, false};
  switch (field.value_type) {
    case ValueType::number:
      if (!read_number(value, cell.number)) return;
      break;
    case ValueType::boolean: cell.number = value == "true" ? 1 : 0; break;
    case ValueType::string:
      if (!read_number(value, cell.number)) {
        cell.word = hash_word(value);
        cell.key_like = names_a_key(value, cell.word);
      } else {
        cell.key_like = value.size() == 1;
      }
      break;
    default: return;
  }
  const uint32_t row = to_index(path.substr(at + 1, end - at - 1));
  const std::string_view outer = path.substr(0, at), rest = path.substr(end);
  if (!rest.empty()) {
    if (rest.size() <= 64) add(outer, false, row, rest, cell, field, known);
    return;
  }
  // An element itself: of a list, of a row in a list of rows, of a column
  // beside other columns, and of a short list inside a row.
  if (field.value_type != ValueType::string || std::isnan(cell.number) == false) add(outer, true, row, {}, cell, field);
  size_t outer_at = 0, outer_end = 0;
  const bool nested = last_index(outer, outer_at, outer_end);
  if (nested && row < (outer_end == outer.size() ? 16u : 4u) && outer.size() - outer_end <= 40)
    add(outer.substr(0, outer_at), false, to_index(outer.substr(outer_at + 1, outer_end - outer_at - 1)),
        path.substr(outer_end), cell, field);
  if (!nested || outer_end != outer.size()) {
    const size_t name = outer.find_last_of("/|");
    if (name != std::string_view::npos && outer[name] == '/')
      add(outer.substr(0, name), false, row, outer.substr(name), cell, field);
  }
}

void KeystrokeDetector::State::emit(const Exchange& exchange, const Container& at, const KeystrokeFinding& finding) {
  if (found++ >= kMaxFindings) return;
  Field out;
  out.time = at.time;
  out.direction = Direction::client_to_server;
  out.exchange = &exchange;
  out.location = at.location;
  out.path = text(at.path);
  out.name = last_name(out.path);
  out.value = finding.sentence;
  out.value_type = ValueType::container;
  out.origin = at.origin;
  out.packet = at.packet;
  out.type = finding.activity_only ? activity : keystroke;
  out.observation = finding.activity_only ? Observation::unconfirmed : finding.observation;
  out.decided_by = "detector:keystroke";
  out.confidence = finding.confidence;
  if (out.type != 0) next.field(out);
}

void KeystrokeDetector::State::judge(const Exchange& exchange) {
  EventTable table;
  std::vector<std::string_view> done;  // places already reported: a list inside them is the same one
  for (size_t i = 0; i < used; ++i) {
    const Container& held = containers[i];
    if (held.rows < 5 || held.column.empty()) continue;
    if (std::any_of(done.begin(), done.end(), [&](std::string_view path) { return text(held.path).starts_with(path); }))
      continue;
    table.columns.clear();
    table.container = names_in(text(held.path));
    for (const Column& column : held.column) {
      if (column.count < 4) continue;  // a column for a few rows says nothing about the others
      EventColumn& out = table.columns.emplace_back();
      out.name = normalised_name(text(column.name));
      out.cells.assign(held.rows, {std::numeric_limits<double>::quiet_NaN(), 0, false});
      for (uint32_t c = column.first; c != kNone; c = cells[c].next) {
        const Cell& cell = cells[c];
        out.cells[cell.row] = {cell.number, cell.word, cell.key_like};
      }
    }
    if (table.columns.empty()) continue;
    const auto finding = held.flat ? judge_flat(table) : judge_events(table);
    if (!finding) continue;
    done.push_back(text(held.path));
    emit(exchange, held, *finding);
  }
}

void KeystrokeDetector::State::reset() {
  for (uint32_t slot : used_slots) slots[slot] = kNone;
  used_slots.clear();
  cells.clear();
  arena.clear();
  used = 0;
  found = 0;
  recent_a = recent_b = kNone;
  ++part;
}

KeystrokeDetector::KeystrokeDetector(const Taxonomy& taxonomy, FieldSink& next)
    : state_(std::make_unique<State>(taxonomy, next)) {}
KeystrokeDetector::~KeystrokeDetector() = default;

uint64_t KeystrokeDetector::overflow() const { return state_->overflow; }

void KeystrokeDetector::begin_part(const Exchange& exchange, const Part& part) {
  state_->reset();
  state_->client = part.direction == Direction::client_to_server;
  state_->next.begin_part(exchange, part);
}

void KeystrokeDetector::field(const Field& field) {
  State& state = *state_;
  state.next.field(field);
  if (field.direction != Direction::client_to_server || !state.client) return;
  if (field.value.size() <= 24) {
    state.collect(field);
    return;
  }
  // A text of numbers: digits early, or the marks of a known component.
  if (field.value_type != ValueType::string || !field.exchange) return;
  size_t digits = 0, marks = 0;
  const std::string_view head = field.value.substr(0, 48);
  for (char c : head) {
    digits += digit(c);
    marks += c == ',' || c == ';' || c == '|';
  }
  const bool listed = digits >= 10 && marks >= 4;
  if (!listed && (field.value.size() < 120 || field.value.find("-1,2,-94,") == std::string_view::npos)) {
    // "keydown,a,1000;keyup,a,1090;" has more letters than digits.
    if (marks < 4 || digits < 4) return;
  }
  const auto finding = judge_text(field.value, names_in(field.path));
  if (!finding) return;
  State::Container at;
  const size_t kept = state.arena.size();
  at.path = state.keep(field.path);
  at.origin = field.origin;
  at.packet = field.packet;
  at.time = field.time;
  at.location = field.location;
  state.emit(*field.exchange, at, *finding);
  state.arena.resize(kept);
}

void KeystrokeDetector::end_part(const Exchange& exchange, const Part& part) {
  if (state_->used != 0) state_->judge(exchange);
  state_->next.end_part(exchange, part);
}

}  // namespace vitrine
