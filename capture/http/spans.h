// Lists of stream spans with neighbours merged, so that how a stream was cut
// into chunks does not show.
#pragma once

#include <vector>

#include "capture/stream.h"

namespace vitrine {

inline constexpr size_t kSpanBound = 1 << 16;  // spans of one part; more grow the last one over what lies between

inline void append_span(std::vector<StreamSpan>& spans, StreamSpan span) {
  if (span.length == 0) return;
  if (!spans.empty()) {
    StreamSpan& last = spans.back();
    if (last.offset + last.length == span.offset) {
      last.length += span.length;
      return;
    }
    if (spans.size() >= kSpanBound && span.offset > last.offset) {
      last.length = span.offset + span.length - last.offset;
      return;
    }
  }
  spans.push_back(span);
}

}  // namespace vitrine
