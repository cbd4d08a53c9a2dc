// What keystroke timing looks like as a table: one row per event, one column
// per property. Pure functions from a table to a judgement; the detector
// (keystroke_detector.h) builds the tables out of fields and strings.
//
// Judged by structure; names only add confidence. Thresholds:
//   presses  at least 3 complete (down and up) and 6 events, or 5 events without ups
//   gaps     consecutive events: median 20..400 ms; press to press: median 40..600 ms
//   dwell    down to up: median 20..300 ms, nine in ten within 8..600 ms
//   rhythm   (90th - 10th percentile) / median of press-to-press gaps >= 0.15:
//            people vary, timers do not
// Ranges: facts of published keystroke-dynamics work (dwell and flight times of
// 20..300 ms) and of SDKs in the field; docs name the sources.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "capture/field.h"

namespace vitrine {

inline constexpr size_t kMaxEventRows = 4096;

// A value of a column: a number, or a word known only by its hash.
struct EventCell {
  double number = 0;      // NaN when it is not a number
  uint32_t word = 0;      // hash_word() of text; 0 = none
  bool key_like = false;  // text that names a key: one character, "Enter", "KeyA"
};

struct EventColumn {
  std::string name;              // normalised; empty when the column has no name
  std::vector<EventCell> cells;  // one per row; a missing cell has NaN and word 0
};

struct EventTable {
  std::string container;  // normalised names of the path, joined by ' '
  std::vector<EventColumn> columns;
  bool sdk_marker = false;  // stands where a known component puts its key events
  size_t rows() const { return columns.empty() ? 0 : columns[0].cells.size(); }
};

struct KeystrokeFinding {
  bool activity_only = false;  // toggles and times: when somebody was active, not how they typed
  Observation observation = Observation::unconfirmed;
  float confidence = 0;
  std::string sentence;  // "90 key events (45 presses), median gap 84 ms, ..."
};

// Case-insensitive hash of a short word; never 0.
constexpr uint32_t hash_word(std::string_view word) {
  uint32_t hash = 2166136261u;  // FNV-1a
  for (char c : word) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
    hash = (hash ^ static_cast<uint8_t>(c)) * 16777619u;
  }
  return hash == 0 ? 1 : hash;
}
// "a", "Enter", "KeyA". `hash`: hash_word(word).
bool names_a_key(std::string_view word, uint32_t hash);

std::optional<KeystrokeFinding> judge_events(const EventTable& table);

// A flat list of numbers, read as rows of 2 to 8.
std::optional<KeystrokeFinding> judge_flat(const EventTable& list);

// Text such as "0,1,14674,-4,0,0,-1;1,2,14802,-4,0,0,-1;" or "t,type,code;" or
// "0,465356,1,467129". `names` as EventTable::container.
std::optional<KeystrokeFinding> judge_text(std::string_view text, std::string_view names);

}  // namespace vitrine
