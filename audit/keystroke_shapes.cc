#include "audit/keystroke_shapes.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <span>

namespace vitrine {
namespace {

constexpr std::string_view kDownWords[] = {"keydown", "key_down", "key-down", "down",      "kd",
                                           "d",       "press",    "pressed",  "rawkeydown"};
constexpr std::string_view kUpWords[] = {"keyup", "key_up", "key-up", "up", "ku", "u", "release", "released"};
constexpr std::string_view kKeyWords[] = {"keydown",  "keyup",     "key_down",   "key_up", "key-down", "key-up",
                                          "keypress", "key_press", "rawkeydown", "kd",     "ku"};
constexpr std::string_view kKeyNames[] = {"enter",      "backspace", "shift",     "space",  "tab",      "delete",
                                          "control",    "alt",       "meta",      "escape", "capslock", "arrowleft",
                                          "arrowright", "arrowup",   "arrowdown", "period", "comma",    "unidentified"};
constexpr std::string_view kStrongNames[] = {
    "keystroke", "keydown",   "keyup",    "keypress",    "keylog",   "kbio",       "keyboard",  "typing",
    "typed",     "keytiming", "keyevent", "keyinterval", "interkey", "keypattern", "keyrhythm", "dwellflight"};
constexpr std::string_view kWeakNames[] = {"keys", "kb", "kbd", "kd",      "ku",       "ks",   "kbe",
                                           "key",  "k",  "kc",  "keycode", "keyclass", "code", "which"};
constexpr std::string_view kDwellNames[] = {"dwell",   "dwells",    "dwelltime",    "dwelltimes",
                                            "hold",    "holdtime",  "holdtimes",    "holds",
                                            "keyhold", "presstime", "pressduration"};
constexpr std::string_view kFlightNames[] = {"flight",   "flights", "flighttime", "flighttimes",
                                             "interkey", "updown",  "digraph",    "releasepress"};
constexpr std::string_view kXNames[] = {"x", "clientx", "pagex", "screenx", "offsetx", "posx", "left", "lat"};
constexpr std::string_view kYNames[] = {"y", "clienty", "pagey", "screeny", "offsety", "posy", "top", "lng", "lon"};

template <size_t N>
bool in(const std::string_view (&list)[N], std::string_view word) {
  return std::find(std::begin(list), std::end(list), word) != std::end(list);
}
template <size_t N>
constexpr std::array<uint32_t, N> hashes_of(const std::string_view (&list)[N]) {
  std::array<uint32_t, N> out{};
  for (size_t i = 0; i < N; ++i) out[i] = hash_word(list[i]);
  return out;
}
constexpr auto kDownHashes = hashes_of(kDownWords);
constexpr auto kUpHashes = hashes_of(kUpWords);
constexpr auto kKeyHashes = hashes_of(kKeyWords);
constexpr auto kKeyNameHashes = hashes_of(kKeyNames);
template <size_t N>
bool word_in(const std::array<uint32_t, N>& list, uint32_t hash) {
  return hash != 0 && std::find(list.begin(), list.end(), hash) != list.end();
}

struct Names {
  bool strong = false, weak = false;
};

Names names_of(const EventTable& table) {
  Names names;
  names.strong = table.sdk_marker;
  const auto look = [&](std::string_view word) {
    for (std::string_view strong : kStrongNames) names.strong |= word.find(strong) != std::string_view::npos;
    names.weak |= in(kWeakNames, word);
  };
  for (std::string_view rest = table.container; !rest.empty();) {
    const size_t space = std::min(rest.find(' '), rest.size());
    look(rest.substr(0, space));
    rest.remove_prefix(std::min(space + 1, rest.size()));
  }
  for (const EventColumn& column : table.columns) look(column.name);
  return names;
}

double percentile(std::vector<double>& values, double p) {
  if (values.empty()) return 0;
  const auto at = static_cast<size_t>(p * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), values.begin() + static_cast<ptrdiff_t>(at), values.end());
  return values[at];
}
double median(std::vector<double> values) { return percentile(values, 0.5); }
double spread(std::vector<double> values) {
  const double middle = percentile(values, 0.5);
  return middle <= 0 ? 0 : (percentile(values, 0.9) - percentile(values, 0.1)) / middle;
}
double share_within(const std::vector<double>& values, double low, double high) {
  const auto n = std::count_if(values.begin(), values.end(), [&](double v) { return v >= low && v <= high; });
  return values.empty() ? 0 : static_cast<double>(n) / static_cast<double>(values.size());
}
size_t distinct(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return static_cast<size_t>(std::unique(values.begin(), values.end()) - values.begin());
}

using Rows = std::vector<uint32_t>;

std::vector<double> numbers(const EventColumn& column, const Rows& rows) {
  std::vector<double> out;
  out.reserve(rows.size());
  for (uint32_t row : rows) out.push_back(column.cells[row].number);
  return out;
}
bool all_numbers(const std::vector<double>& values) {
  return std::none_of(values.begin(), values.end(), [](double v) { return std::isnan(v); });
}
std::vector<double> gaps_of(const std::vector<double>& times) {
  std::vector<double> out;
  out.reserve(times.size());
  for (size_t i = 1; i < times.size(); ++i) out.push_back(times[i] - times[i - 1]);
  return out;
}

// Near-monotone, really growing, and no mere count of rows.
bool is_clock(const std::vector<double>& values) {
  if (values.size() < 5 || !all_numbers(values)) return false;
  const size_t steps = values.size() - 1;
  size_t back = 0, same = 0, ones = 0;
  for (size_t i = 1; i < values.size(); ++i) {
    const double gap = values[i] - values[i - 1];
    back += gap < 0;
    same += gap == 0;
    ones += gap == 1;
    if (back * 10 > steps) return false;
  }
  return (same + back) * 10 <= steps * 5 && ones * 2 < steps;
}

std::string whole(double value) { return std::to_string(static_cast<long long>(std::llround(value))); }

struct Presses {
  size_t downs = 0, ups = 0, matched = 0;
  std::vector<double> dwell, starts;
};

// Matches every up with an open down of the same key (or the oldest open one).
template <class KeyOf>
Presses match(const std::vector<double>& times, const std::vector<int>& toggle, KeyOf same_key) {
  Presses out;
  std::vector<size_t> open;
  for (size_t i = 0; i < times.size(); ++i) {
    if (toggle[i] == 1) {
      ++out.downs;
      out.starts.push_back(times[i]);
      if (open.size() == 8) open.erase(open.begin());
      open.push_back(i);
    } else if (toggle[i] == 2) {
      ++out.ups;
      for (size_t o = 0; o < open.size(); ++o) {
        if (!same_key(open[o], i)) continue;
        ++out.matched;
        out.dwell.push_back(times[i] - times[open[o]]);
        open.erase(open.begin() + static_cast<ptrdiff_t>(o));
        break;
      }
    }
  }
  return out;
}

bool looks_typed(const Presses& presses) {
  if (presses.matched < 3 || presses.matched * 10 < presses.ups * 8 || presses.matched * 10 < presses.downs * 7)
    return false;
  const double dwell = median(presses.dwell);
  if (dwell < 20 || dwell > 300 || share_within(presses.dwell, 8, 600) < 0.9) return false;
  if (distinct(presses.dwell) < 3) return false;
  const std::vector<double> gaps = gaps_of(presses.starts);
  const double middle = median(gaps);
  return middle >= 40 && middle <= 600 && spread(gaps) >= 0.15;
}

// Share of neighbours that are a press and a release; 0.5 for random states.
double alternation(const std::vector<int>& downup) {
  size_t changes = 0, steps = 0;
  int before = 0;
  for (int state : downup) {
    if (state == 0) continue;
    if (before != 0) ++steps, changes += state != before;
    before = state;
  }
  return steps == 0 ? 0 : static_cast<double>(changes) / static_cast<double>(steps);
}

// Down = 1, up = 2, other = 0, by words, or by the two commonest numbers.
// `words`: 2 = words of a keyboard, 1 = "down"/"up", 0 = numbers.
bool read_toggle(const EventColumn& column, const Rows& rows, std::vector<int>& out, int& words) {
  out.assign(rows.size(), 0);
  words = 0;
  size_t worded = 0, downs = 0, ups = 0;
  bool keyboard = false;
  for (size_t i = 0; i < rows.size(); ++i) {
    const EventCell& cell = column.cells[rows[i]];
    if (cell.word == 0) continue;
    ++worded;
    if (i == 32 && downs + ups == 0) return false;
    keyboard |= word_in(kKeyHashes, cell.word);
    if (word_in(kDownHashes, cell.word)) out[i] = 1, ++downs;
    if (word_in(kUpHashes, cell.word)) out[i] = 2, ++ups;
  }
  if (worded == rows.size()) {
    words = keyboard ? 2 : 1;
    return downs >= 3 && ups >= 3 && (downs + ups) * 10 >= rows.size() * 6;
  }
  if (worded != 0) return false;
  // Numbers: the first row must be a press, and two values make up most rows.
  double kinds[3];
  size_t kind_count = 0;
  for (uint32_t row : rows) {
    const double value = column.cells[row].number;
    if (std::isnan(value) || std::fabs(value) > 1000) return false;
    if (std::find(kinds, kinds + kind_count, value) != kinds + kind_count) continue;
    if (kind_count == 3) return false;
    kinds[kind_count++] = value;
  }
  const std::vector<double> values = numbers(column, rows);
  const double down = values[0];
  double up = down;
  size_t best = 0;
  for (double v : std::span(kinds, kind_count)) {
    const auto n = static_cast<size_t>(std::count(values.begin(), values.end(), v));
    if (v != down && n > best) best = n, up = v;
  }
  if (best < 3) return false;
  for (size_t i = 0; i < values.size(); ++i) out[i] = values[i] == down ? 1 : values[i] == up ? 2 : 0;
  downs = static_cast<size_t>(std::count(out.begin(), out.end(), 1));
  return (downs + best) * 10 >= rows.size() * 7 && downs * 10 >= best * 6 && best * 10 >= downs * 6;
}

// Two columns of coordinates: the table is a pointer's or a finger's.
bool has_coordinates(const EventTable& table, const Rows& rows) {
  bool x = false, y = false;
  for (const EventColumn& column : table.columns) {
    const bool x_name = in(kXNames, column.name), y_name = in(kYNames, column.name);
    if (!x_name && !y_name) continue;
    const auto filled =
        std::count_if(rows.begin(), rows.end(), [&](uint32_t row) { return !std::isnan(column.cells[row].number); });
    if (static_cast<size_t>(filled) * 2 <= rows.size()) continue;
    x |= x_name;
    y |= y_name;
  }
  return x && y;
}

// A column that looks like pixels: wide, varied, no clock.
bool wide_values(const std::vector<double>& values) {
  if (!all_numbers(values) || distinct(values) < 4) return false;
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  return *high > 255 || *high - *low > 255;
}

struct KeyColumn {
  size_t column = SIZE_MAX;
  bool varied = false;  // more than one key
};

// The column whose value is the same at a press and at its release, is no
// clock or counter, and can be a key: a character, a key's name, a small code.
KeyColumn find_key_column(const EventTable& table, const Rows& rows, size_t clock, size_t toggle,
                          const std::vector<int>& downup) {
  KeyColumn found;
  for (size_t c = 0; c < table.columns.size(); ++c) {
    if (c == clock || c == toggle) continue;
    const EventColumn& column = table.columns[c];
    std::vector<double> values;
    bool possible = true;
    for (size_t i = 0; i < rows.size() && possible; ++i) {
      const EventCell& cell = column.cells[rows[i]];
      if (cell.word != 0) {
        possible = cell.key_like;
        values.push_back(static_cast<double>(cell.word));
      } else {
        possible = !std::isnan(cell.number) && cell.number == std::floor(cell.number) && std::fabs(cell.number) <= 255;
        values.push_back(cell.number);
      }
    }
    if (!possible) continue;
    // Ids of things that open and close count upwards; keys of a text do not.
    std::vector<double> presses;
    for (size_t i = 0; i < rows.size(); ++i)
      if (downup[i] == 1) presses.push_back(values[i]);
    const size_t kinds = distinct(presses);
    if (kinds > 1 && presses.size() >= 3 && std::is_sorted(presses.begin(), presses.end()) &&
        column.cells[rows[0]].word == 0)
      continue;
    size_t agree = 0, ups = 0;
    std::vector<size_t> open;
    for (size_t i = 0; i < rows.size(); ++i) {
      if (downup[i] == 1) {
        if (open.size() < 16) open.push_back(i);
      } else if (downup[i] == 2) {
        ++ups;
        const auto at = std::find_if(open.begin(), open.end(), [&](size_t o) { return values[o] == values[i]; });
        if (at == open.end()) continue;
        ++agree;
        open.erase(at);
      }
    }
    if (ups == 0 || agree * 10 < ups * 8) continue;
    if (found.column == SIZE_MAX || (kinds > 1 && !found.varied)) found = {c, kinds > 1};
  }
  return found;
}

KeystrokeFinding finding(Observation observation, float confidence, std::string sentence) {
  return {false, observation, confidence, std::move(sentence)};
}

// down/up + clock (+ key)
std::optional<KeystrokeFinding> judge_toggles(const EventTable& table, const Rows& rows, const Names& names) {
  std::vector<int> downup;
  for (size_t d = 0; d < table.columns.size(); ++d) {
    int words = 0;
    if (!read_toggle(table.columns[d], rows, downup, words)) continue;
    for (size_t t = 0; t < table.columns.size(); ++t) {
      if (t == d) continue;
      std::vector<double> times = numbers(table.columns[t], rows);
      if (!is_clock(times)) continue;
      // Seconds or microseconds are believed only beside a key column.
      const double step = median(gaps_of(times));
      const bool other_unit = (step > 0 && step < 1) || step > 20000;
      if (!other_unit && (step < 20 || step > 400)) continue;
      const KeyColumn key = find_key_column(table, rows, t, d, downup);
      const double scale = key.column == SIZE_MAX || !other_unit ? 1 : step < 1 ? 1000 : 0.001;
      for (double& time : times) time *= scale;
      const double gap = median(gaps_of(times));
      if (gap < 20 || gap > 400) continue;
      const auto same = [&](size_t a, size_t b) {
        if (key.column == SIZE_MAX) return true;
        const EventCell &x = table.columns[key.column].cells[rows[a]], &y = table.columns[key.column].cells[rows[b]];
        return x.word == y.word && (x.word != 0 || x.number == y.number);
      };
      const Presses presses = match(times, downup, same);
      if (!looks_typed(presses)) continue;
      // Without keys nothing ties a release to its press but their order.
      if (key.column == SIZE_MAX && alternation(downup) < 0.75) continue;
      size_t wide = 0;
      for (size_t c = 0; c < table.columns.size(); ++c)
        wide += c != t && c != d && c != key.column && !is_clock(numbers(table.columns[c], rows)) &&
                wide_values(numbers(table.columns[c], rows));
      if (wide >= 2 || (wide == 1 && !names.strong && words == 0)) continue;
      const bool has_key = key.column != SIZE_MAX;
      const bool named = names.strong || words == 2 || (words == 1 && names.weak);
      Observation observation = Observation::probable;
      float confidence = 0.8f;
      if (has_key && named) {
        observation = Observation::certain;
        confidence = 0.95f;
      } else if (!has_key && !named) {
        // Toggles and times alone: only a long rhythm whose dwell is steadier
        // than its gaps is worth a lead.
        if (words == 0 && (presses.matched < 8 || spread(presses.dwell) >= spread(gaps_of(presses.starts)) ||
                           spread(gaps_of(presses.starts)) < 0.3))
          continue;
        observation = Observation::unconfirmed;
        confidence = 0.4f;
      } else if (!named && !key.varied && words == 0) {
        observation = Observation::unconfirmed;
        confidence = 0.5f;
      }
      std::string text = std::to_string(presses.downs + presses.ups) + " key events (" +
                         std::to_string(presses.matched) + " presses) with down and up, median gap " + whole(gap) +
                         " ms, median dwell " + whole(median(presses.dwell)) + " ms";
      text += has_key ? (key.varied ? ", with the key of each event" : ", with a key class") : ", without keys";
      return finding(observation, confidence, std::move(text));
    }
  }
  return std::nullopt;
}

// A clock and the key that was hit, no release.
std::optional<KeystrokeFinding> judge_hits(const EventTable& table, const Rows& rows, const Names& names,
                                           bool key_words) {
  for (size_t t = 0; t < table.columns.size(); ++t) {
    const std::vector<double> times = numbers(table.columns[t], rows);
    if (!is_clock(times)) continue;
    const std::vector<double> gaps = gaps_of(times);
    const double gap = median(gaps);
    if (gap < 40 || gap > 400 || spread(gaps) < 0.25) continue;
    size_t keys = 0, codes = 0;
    for (size_t c = 0; c < table.columns.size(); ++c) {
      if (c == t) continue;
      size_t like = 0, small = 0;
      for (uint32_t row : rows) {
        const EventCell& cell = table.columns[c].cells[row];
        like += cell.key_like;
        small += cell.number >= 8 && cell.number <= 222 && cell.number == std::floor(cell.number);
      }
      if (like * 10 < rows.size() * 8 && small != rows.size()) continue;
      std::vector<double> kinds;
      for (uint32_t row : rows) {
        const EventCell& cell = table.columns[c].cells[row];
        kinds.push_back(cell.word != 0 ? static_cast<double>(cell.word) : cell.number);
      }
      const size_t distinct_keys = all_numbers(kinds) ? distinct(kinds) : 0;
      if (like * 10 >= rows.size() * 8 && distinct_keys >= 4) keys = distinct_keys;
      if (small == rows.size() && distinct_keys >= 3 && in(kWeakNames, table.columns[c].name)) codes = distinct_keys;
    }
    if (keys == 0 && !(codes != 0 && (names.strong || names.weak)) && !key_words) continue;
    std::string text = std::to_string(rows.size()) + " key events, median gap " + whole(gap) + " ms, no releases";
    const bool named = names.strong || names.weak || key_words;
    if (!named && rows.size() < 8) continue;
    return finding(named ? Observation::probable : Observation::unconfirmed, named ? 0.7f : 0.4f, std::move(text));
  }
  return std::nullopt;
}

// dwell and flight, or press and release times, one row per key
std::optional<KeystrokeFinding> judge_durations(const EventTable& table, const Rows& rows, const Names& names) {
  size_t dwell = SIZE_MAX, flight = SIZE_MAX, keys = SIZE_MAX;
  for (size_t c = 0; c < table.columns.size(); ++c) {
    if (in(kDwellNames, table.columns[c].name)) dwell = c;
    if (in(kFlightNames, table.columns[c].name)) flight = c;
    size_t like = 0;
    for (uint32_t row : rows) like += table.columns[c].cells[row].key_like;
    if (like * 10 < rows.size() * 8) continue;
    std::vector<double> kinds;
    for (uint32_t row : rows) kinds.push_back(static_cast<double>(table.columns[c].cells[row].word));
    if (like * 10 >= rows.size() * 8 && distinct(kinds) >= 3) keys = c;
  }
  const auto filled = [&](size_t c) {
    std::vector<double> out;
    for (double v : numbers(table.columns[c], rows))
      if (!std::isnan(v)) out.push_back(v);
    return out;
  };
  const auto is_dwell = [&](const std::vector<double>& v) {
    return v.size() >= 5 && median(v) >= 20 && median(v) <= 300 && share_within(v, 5, 1000) >= 0.9 &&
           spread(v) >= 0.1 && distinct(v) >= 3;
  };
  const auto is_flight = [&](const std::vector<double>& v) {
    return v.size() >= 4 && median(v) >= 20 && median(v) <= 600 && share_within(v, -300, 5000) >= 0.9 &&
           spread(v) >= 0.15 && distinct(v) >= 3;
  };
  const auto say = [&](const std::vector<double>& d, const std::vector<double>& f) {
    return std::to_string(d.size()) + " presses as dwell and flight times, median dwell " + whole(median(d)) +
           " ms, median flight " + whole(median(f)) + " ms";
  };
  if (dwell != SIZE_MAX && flight != SIZE_MAX && is_dwell(filled(dwell)) && is_flight(filled(flight)))
    return finding(Observation::certain, 0.95f, say(filled(dwell), filled(flight)));
  if (dwell != SIZE_MAX && (keys != SIZE_MAX || names.strong) && is_dwell(filled(dwell)))
    return finding(Observation::probable, 0.7f,
                   std::to_string(filled(dwell).size()) + " presses as dwell times, median " +
                       whole(median(filled(dwell))) + " ms");
  if (keys == SIZE_MAX && !names.strong) return std::nullopt;
  std::vector<size_t> numeric;
  for (size_t c = 0; c < table.columns.size(); ++c)
    if (all_numbers(numbers(table.columns[c], rows))) numeric.push_back(c);
  for (size_t a : numeric)
    for (size_t b : numeric) {
      if (a == b) continue;
      const std::vector<double> first = filled(a), second = filled(b);
      if (is_clock(first) && is_clock(second)) {
        std::vector<double> held;
        for (size_t i = 0; i < first.size(); ++i) held.push_back(second[i] - first[i]);
        const std::vector<double> gaps = gaps_of(first);
        if (!is_dwell(held) || share_within(held, 5, 1000) < 1 || median(gaps) < 40 || median(gaps) > 600 ||
            spread(gaps) < 0.15)
          continue;
        return finding(keys != SIZE_MAX && names.strong ? Observation::certain : Observation::probable, 0.8f,
                       std::to_string(first.size()) + " presses with press and release times, median gap " +
                           whole(median(gaps)) + " ms, median dwell " + whole(median(held)) + " ms");
      }
      // Unnamed pairs need the keys beside them, and little else in the row.
      if (keys != SIZE_MAX && a < b && table.columns.size() <= 4 && is_dwell(first) && is_flight(second) &&
          !is_clock(first) && !is_clock(second) && rows.size() >= 6)
        return finding(names.strong ? Observation::certain : Observation::probable, 0.7f, say(first, second));
    }
  return std::nullopt;
}

// rrweb: {type: 3, data: {source: 5, text}, timestamp} per input event
std::optional<KeystrokeFinding> judge_rrweb(const EventTable& table) {
  const EventColumn *type = nullptr, *source = nullptr, *text = nullptr, *time = nullptr;
  for (const EventColumn& column : table.columns) {
    if (column.name == "type") type = &column;
    if (column.name == "datasource") source = &column;
    if (column.name == "datatext") text = &column;
    if (column.name == "timestamp") time = &column;
  }
  if (!type || !source || !text || !time) return std::nullopt;
  Rows rows;
  for (uint32_t i = 0; i < table.rows(); ++i)
    if (type->cells[i].number == 3 && source->cells[i].number == 5) rows.push_back(i);
  const std::vector<double> times = numbers(*time, rows);
  if (rows.size() < 5 || !is_clock(times)) return std::nullopt;
  const std::vector<double> gaps = gaps_of(times);
  if (median(gaps) < 40 || median(gaps) > 1000 || spread(gaps) < 0.15) return std::nullopt;
  return finding(Observation::probable, 0.8f,
                 std::to_string(rows.size()) + " recorded input events with the text after each, median gap " +
                     whole(median(gaps)) + " ms");
}

}  // namespace

bool names_a_key(std::string_view word, uint32_t hash) {
  if (word.size() == 1) return true;
  if (word.empty() || word.size() > 12) return false;
  if (word.size() == 4 && word.starts_with("Key") && word[3] >= 'A' && word[3] <= 'Z') return true;
  if (word.size() == 6 && word.starts_with("Digit")) return true;
  if (!word_in(kKeyNameHashes, hash)) return false;
  char lower[12];
  for (size_t i = 0; i < word.size(); ++i)
    lower[i] = word[i] >= 'A' && word[i] <= 'Z' ? static_cast<char>(word[i] + 32) : word[i];
  return in(kKeyNames, std::string_view(lower, word.size()));
}

std::optional<KeystrokeFinding> judge_events(const EventTable& table) {
  const size_t count = table.rows();
  if (count < 5 || table.columns.size() > 40) return std::nullopt;
  if (auto found = judge_rrweb(table)) return found;
  const Names names = names_of(table);
  Rows rows;
  for (uint32_t i = 0; i < count; ++i) rows.push_back(i);
  // Among other events, those that name a keyboard stand for themselves.
  bool key_words = false;
  for (const EventColumn& column : table.columns) {
    Rows keyed;
    for (uint32_t i = 0; i < count; ++i)
      if (word_in(kKeyHashes, column.cells[i].word)) keyed.push_back(i);
    if (keyed.size() >= 5) {
      rows = std::move(keyed);
      key_words = true;
      break;
    }
  }
  if (has_coordinates(table, rows)) return std::nullopt;
  if (auto found = judge_toggles(table, rows, names)) return found;
  if (auto found = judge_durations(table, rows, names)) return found;
  return judge_hits(table, rows, names, key_words);
}

std::optional<KeystrokeFinding> judge_flat(const EventTable& list) {
  if (list.columns.size() != 1) return std::nullopt;
  const std::vector<EventCell>& cells = list.columns[0].cells;
  const Names names = names_of(list);
  if (cells.size() >= 5 && names.strong) {
    std::vector<double> values;
    for (const EventCell& cell : cells)
      if (!std::isnan(cell.number)) values.push_back(cell.number);
    if (values.size() == cells.size() && share_within(values, 5, 2000) >= 0.9 && median(values) >= 40 &&
        median(values) <= 400 && spread(values) >= 0.15 && !is_clock(values))
      return finding(Observation::probable, 0.6f,
                     std::to_string(values.size()) + " intervals, median " + whole(median(values)) + " ms");
  }
  if (cells.size() < 12) return std::nullopt;
  for (size_t stride = 2; stride <= 8; ++stride) {
    const size_t rows = cells.size() / stride;
    if (rows < 6 || cells.size() % stride != 0) continue;
    EventTable table;
    table.container = list.container;
    table.sdk_marker = list.sdk_marker;
    table.columns.resize(stride);
    for (size_t i = 0; i < rows * stride; ++i) table.columns[i % stride].cells.push_back(cells[i]);
    Rows all;
    for (uint32_t i = 0; i < rows; ++i) all.push_back(i);
    if (auto found = judge_toggles(table, all, names_of(table))) return found;
  }
  return std::nullopt;
}

}  // namespace vitrine
