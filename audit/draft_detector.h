// Finds text that was sent while it was being typed: growing prefixes of one
// value over successive requests of one client to one endpoint. Covers saved
// drafts, autocompletion and search as you type.
//
// A step is a value that differs from the one before by at most 20 characters at
// one place (typed, composed by an input method, deleted), 50 ms to 3 s later.
// A draft has at least 3 steps that grow. A pause of up to 30 s, a paste into a
// text already known as a draft, and equal values (retries) do not end it.
// Not drafts: numbers, ids, cursors and tokens (is_draft_candidate); lists that
// grow by separated items (logs, breadcrumbs); histories that grow by whole
// messages (more than 20 characters in a step); steps faster than anybody types.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "audit/taxonomy.h"
#include "capture/field.h"

namespace vitrine {

// The shard's filter: whether a (classified) field may be a step. Cheap.
bool is_draft_candidate(const Field& field);

// Path of a URL without query, with segments that are ids (UUID, number, long
// hex or random text) replaced by '*', so that one endpoint has one name.
std::string endpoint_path(std::string_view path);

// One candidate. Views are copied where they are kept.
struct DraftSample {
  Timestamp time;
  uint64_t packet = 0;
  IpAddress client;
  std::string_view host, method;
  std::string_view endpoint;  // endpoint_path() of the request
  std::string_view pattern;   // the field's path with indices replaced
  std::string_view value;
  OriginRef origin;  // names the exchange, too
};

struct DraftObservation {
  Timestamp first, last;
  uint64_t first_packet = 0, last_packet = 0;
  IpAddress client;
  std::string host, method, endpoint, pattern;
  uint32_t steps = 0;                               // steps that grew
  uint32_t samples = 0;                             // requests that belong to it
  uint32_t longest = 0;                             // characters of the longest value
  int64_t median_gap_ms = 0;                        // between steps
  TypeId type = 0;                                  // content.draft
  Observation observation = Observation::probable;  // certain from 5 steps with a median growth of at most 4 characters
  std::string decided_by;                           // "detector:draft"
  std::string sentence;                             // what was found, in words; holds nothing of the text
  std::vector<OriginRef> evidence;                  // the first 16 and the last 16 steps
};

class DraftSink {
 public:
  virtual ~DraftSink() = default;
  virtual void draft(DraftObservation observation) = 0;
};

// Called from one thread, with samples in the order of packets. Memory: 1,024
// endpoints at a time, 4 KB of the last value each; the one longest unused is
// finished first.
class DraftDetector {
 public:
  DraftDetector(const Taxonomy& taxonomy, DraftSink& sink);
  ~DraftDetector();
  void sample(const DraftSample& sample);
  void finish();  // emits what is still open; the detector is empty afterwards

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace vitrine
