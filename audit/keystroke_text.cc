// Key events written as text (keystroke_shapes.h): records divided by ';', '|'
// or line ends, values by ','; or one flat list.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "audit/keystroke_shapes.h"

namespace vitrine {
namespace {

constexpr size_t kMaxText = 256 << 10;
constexpr size_t kMaxFields = 8;

bool read_cell(std::string_view text, EventCell& cell) {
  cell = {std::numeric_limits<double>::quiet_NaN(), 0, false};
  while (text.starts_with(' ')) text.remove_prefix(1);
  if (text.empty() || text.size() > 20) return false;
  const char* end = text.data() + text.size();
  double number = 0;
  if (const auto read = std::from_chars(text.data(), end, number);
      read.ec == std::errc{} && read.ptr == end && std::isfinite(number)) {
    cell.number = number;
    return true;
  }
  if (text.size() > 12) return false;
  cell.word = hash_word(text);
  cell.key_like = names_a_key(text, hash_word(text));
  return true;
}

// Values of one record; more than kMaxFields are cut from the front, because
// what stands before the first record of a list belongs to its header.
size_t read_record(std::string_view record, EventCell (&cells)[kMaxFields], size_t& all) {
  size_t count = 0;
  all = 0;
  while (!record.empty() || (all == 0)) {
    const size_t comma = std::min(record.find(','), record.size());
    if (count == kMaxFields) {
      std::move(cells + 1, cells + kMaxFields, cells);
      --count;
    }
    if (!read_cell(record.substr(0, comma), cells[count])) {
      // Not a value: whatever follows may still be the end of a list's header.
      count = 0;
      all = kMaxFields + 1;
    } else {
      ++count;
      ++all;
    }
    if (comma == record.size()) break;
    record.remove_prefix(comma + 1);
  }
  return count;
}

// A bot manager divides its blocks by "-1,2,-94,<id>,": -108 holds key events,
// the others pointers, fingers and lists (facts: public analyses).
enum class Block { none, keys, other };
// Positions are asked for in ascending order, so the text is searched once.
class Blocks {
 public:
  explicit Blocks(std::string_view text) : text_(text), next_(text.find(kMark)) {}
  Block before(size_t at) {
    while (next_ != std::string_view::npos && next_ + kMark.size() <= at) {
      last_ = next_;
      next_ = text_.find(kMark, next_ + 1);
    }
    if (last_ == std::string_view::npos) return Block::none;
    return text_.substr(0, at).substr(last_ + kMark.size()).starts_with("-108,") ? Block::keys : Block::other;
  }

 private:
  static constexpr std::string_view kMark = "-1,2,-94,";
  std::string_view text_;
  size_t next_, last_ = std::string_view::npos;
};

class Run {
 public:
  explicit Run(std::string_view names) { table_.container = names; }
  void add(const EventCell* cells, size_t width) {
    if (table_.columns.empty()) table_.columns.resize(width);
    if (table_.rows() >= kMaxEventRows) return;
    for (size_t c = 0; c < width; ++c) table_.columns[c].cells.push_back(cells[c]);
  }
  size_t width() const { return table_.columns.size(); }
  size_t rows() const { return table_.rows(); }
  void clear() { table_.columns.clear(); }
  std::optional<KeystrokeFinding> judge(Block block) {
    if (rows() < 5 || block == Block::other) return std::nullopt;
    table_.sdk_marker = block == Block::keys;
    return judge_events(table_);
  }

 private:
  EventTable table_;
};

// "toggle,ms,toggle,ms": shows when somebody was active, whatever it stands for.
std::optional<KeystrokeFinding> judge_activity(const EventTable& list) {
  const auto& cells = list.columns[0].cells;
  if (cells.size() < 8 || cells.size() % 2 != 0) return std::nullopt;
  double before = -1;
  size_t steps = 0;
  for (size_t i = 0; i < cells.size(); i += 2) {
    const double toggle = cells[i].number, time = cells[i + 1].number;
    if ((toggle != 0 && toggle != 1) || std::isnan(time) || time < before || time < 2) return std::nullopt;
    if (i > 0 && toggle == cells[i - 2].number) return std::nullopt;
    steps += time > before + 1;
    before = time;
  }
  if (steps * 10 < cells.size() / 2 * 9) return std::nullopt;
  KeystrokeFinding finding;
  finding.activity_only = true;
  finding.confidence = 0.3f;
  finding.sentence =
      std::to_string(cells.size() / 2) + " alternating states with times; may show when the user was active";
  return finding;
}

// Numbers after "tp=": dwell and flight times of a typing pattern.
std::optional<KeystrokeFinding> judge_pattern(const std::vector<EventCell>& cells, std::string_view names) {
  static constexpr std::string_view kNames[] = {"tp", "typingpattern", "typingpatterns", "typingdna"};
  const size_t space = names.rfind(' ');
  const std::string_view last = space == std::string_view::npos ? names : names.substr(space + 1);
  if (std::find(std::begin(kNames), std::end(kNames), last) == std::end(kNames) || cells.size() < 10)
    return std::nullopt;
  size_t typed = 0;
  std::vector<double> kinds;
  for (const EventCell& cell : cells) {
    if (!(cell.number >= 20 && cell.number <= 600)) continue;
    ++typed;
    kinds.push_back(cell.number);
  }
  std::sort(kinds.begin(), kinds.end());
  const auto different = std::unique(kinds.begin(), kinds.end()) - kinds.begin();
  if (typed * 2 < cells.size() || different < 5) return std::nullopt;
  KeystrokeFinding finding;
  finding.observation = Observation::probable;
  finding.confidence = 0.7f;
  finding.sentence = std::to_string(cells.size()) + " numbers of a typing pattern, " + std::to_string(typed) +
                     " of them times of 20 to 600 ms";
  return finding;
}

}  // namespace

std::optional<KeystrokeFinding> judge_text(std::string_view text, std::string_view names) {
  text = text.substr(0, kMaxText);
  // Records.
  Run run(names);
  Blocks blocks(text);
  Block block = Block::none;
  EventCell cells[kMaxFields];
  EventCell pending[kMaxFields];  // a longer record: its end may be the first of a list
  size_t pending_count = 0, at = 0, records = 0;
  while (at < text.size()) {
    const size_t end = std::min(text.find_first_of(";|\n", at), text.size());
    size_t all = 0;
    const std::string_view record = text.substr(at, end - at);
    const size_t width = record.empty() ? 0 : read_record(record, cells, all);
    ++records;
    if (width >= 2 && all == run.width() && run.width() != 0) {
      run.add(cells, width);
    } else if (run.width() != 0 || width < 2 || all > kMaxFields || pending_count != 0) {
      // The run ends; it may also begin here with the tail of a longer record.
      const bool continues = pending_count > width && width >= 2 && all <= kMaxFields && run.width() == 0;
      if (continues) {
        block = blocks.before(at);
        run.add(pending + (pending_count - width), width);
        run.add(cells, width);
        pending_count = 0;
      } else {
        if (auto found = run.judge(block)) return found;
        run.clear();
        block = blocks.before(at);
        pending_count = 0;
        if (width >= 2 && all <= kMaxFields && blocks.before(end) == block) {
          run.add(cells, width);
        } else if (width >= 2) {
          block = blocks.before(end);
          std::copy(cells, cells + width, pending);
          pending_count = width;
        }
      }
    } else {
      block = blocks.before(end);
      run.add(cells, width);
    }
    at = end + 1;
  }
  if (auto found = run.judge(block)) return found;

  // One flat list.
  EventTable list;
  list.container = names;
  list.columns.resize(1);
  for (size_t from = 0; from < text.size();) {
    const size_t end = std::min(text.find_first_of(",;| \n", from), text.size());
    EventCell cell;
    if (end > from) {
      if (!read_cell(text.substr(from, end - from), cell) || list.columns[0].cells.size() >= kMaxEventRows * 2)
        return std::nullopt;
      list.columns[0].cells.push_back(cell);
    }
    from = end + 1;
  }
  if (list.rows() < 8) return std::nullopt;
  if (auto found = judge_pattern(list.columns[0].cells, names)) return found;
  if (records > 2) return std::nullopt;
  if (auto found = judge_flat(list)) return found;
  return judge_activity(list);
}

}  // namespace vitrine
