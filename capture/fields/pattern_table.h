// Field path patterns, interned as a trie: a pattern is its parent plus one
// step. Equal patterns have equal ids within one table (one per shard), so that
// classification is paid once per pattern instead of once per field.
// Owner: the shard's FieldExtractor. Not thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "capture/field.h"

namespace vitrine {

class PatternTable {
 public:
  // What a step adds to its parent's text.
  enum class Step : uint8_t {
    location,  // "body"; parent is kRoot
    name,      // ":x-device-id"
    decoder,   // "|json"
    key,       // "/device_model" (escaped)
    index,     // "/*": every array element; `text` is ignored
    any_name,  // ":*": path segments; `text` is ignored
  };
  static constexpr PatternId kRoot = 0;
  static constexpr size_t kMaxStep = 256;  // longer keys are not interned

  explicit PatternTable(uint32_t limit = 200'000);

  // The pattern `parent` + step. 0 when the table is full, the step is longer
  // than kMaxStep, or `parent` is 0 and the step is no location.
  PatternId intern(PatternId parent, Step step, std::string_view text = {});

  // A member of a JSON object: the pattern, and the hash_key(key, 0) of its key.
  // `before`: the member before it, 0 for the first. Objects in a list mostly
  // repeat the members of the one before, in its order: a look at what followed
  // `before` the last time saves hashing.
  struct Member {
    PatternId pattern = 0;
    uint64_t key_hash = 0;
  };
  Member member(PatternId object, PatternId before, std::string_view key);

  // "body|json/events/*/t"; empty for 0 and unknown ids.
  std::string text(PatternId id) const;
  PatternId parent(PatternId id) const { return id < nodes_.size() ? nodes_[id].parent : 0; }
  Step step(PatternId id) const { return id < nodes_.size() ? nodes_[id].step : Step::location; }
  // The step's own text, unescaped; empty for index and any_name.
  std::string_view step_text(PatternId id) const { return id < nodes_.size() ? nodes_[id].text : std::string_view{}; }
  // Ids run from 1 to size(), in the order they were first met.
  size_t size() const { return nodes_.size() - 1; }
  // Patterns that found no room.
  uint64_t refused() const { return refused_; }

 private:
  struct Node {
    PatternId parent = 0;
    Step step = Step::location;
    uint64_t hash = 0;
    std::string_view text;   // in chunks_
    PatternId follower = 0;  // the member that came after this one the last time
    PatternId first = 0;     // of an object: its first member the last time
    uint64_t key_hash = 0;   // hash_key(text, 0); set by member()
  };
  void grow();
  std::string_view keep(std::string_view text);

  uint32_t limit_;
  uint64_t refused_ = 0;
  std::vector<Node> nodes_;       // [0] is unused
  std::vector<PatternId> slots_;  // open addressing, power of two; 0 = empty
  std::vector<std::unique_ptr<char[]>> chunks_;
  size_t chunk_used_ = 0;
};

// Appends `text` as one name or pointer segment of a path: RFC 6901's ~0 (~)
// and ~1 (/), and ~2 for '|', which separates decoders here. At most
// kMaxSegment bytes of it are kept; then "…" marks the cut.
inline constexpr size_t kMaxSegment = 512;
void append_path_segment(std::string& out, std::string_view text);

// Hash of short strings (names, keys); the same in every run.
uint64_t hash_key(std::string_view text, uint64_t seed);

}  // namespace vitrine
