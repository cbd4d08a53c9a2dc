#include "capture/http/sse.h"

#include <algorithm>
#include <cstring>

namespace vitrine {

void SseParser::feed(Bytes body) {
  std::string_view text = as_text(body);
  while (!text.empty()) {
    if (after_cr_) {  // CRLF is one line end, whichever call brings the LF
      after_cr_ = false;
      if (text.front() == '\n') {
        text.remove_prefix(1);
        ++position_;
        if (partial_.empty()) line_start_ = position_;
        if (!has_data_) event_start_ = std::max(event_start_, position_);
        continue;
      }
    }
    const size_t lf = text.find('\n');
    const size_t cr = text.substr(0, lf).find('\r');
    const size_t end = cr != std::string_view::npos ? cr : lf;
    const std::string_view piece = text.substr(0, end);
    const bool ends = end != std::string_view::npos;
    if (ends && partial_.empty()) {
      line(piece, line_start_, position_ + piece.size() + 1);
    } else {
      const size_t room = kEventBound - partial_.size();
      if (piece.size() > room) overlong_ = true;
      partial_.append(piece.substr(0, room));
      if (ends) line(partial_, line_start_, position_ + piece.size() + 1);
    }
    position_ += piece.size();
    text.remove_prefix(piece.size());
    if (!ends) break;
    after_cr_ = text.front() == '\r';
    text.remove_prefix(1);
    ++position_;
    partial_.clear();
    overlong_ = false;
    line_start_ = position_;
  }
}

void SseParser::line(std::string_view text, uint64_t offset, uint64_t next) {
  if (first_line_) {
    first_line_ = false;
    if (text.substr(0, 3) == "\xef\xbb\xbf") {
      text.remove_prefix(3);
      offset += 3;
    }
  }
  if (text.empty() && !overlong_) {
    dispatch(next, true);
    return;
  }
  const size_t colon = text.find(':');
  if (text.substr(0, colon) != "data") return;  // event, id, retry, comments
  std::string_view value;
  uint64_t at = offset + text.size();
  if (colon != std::string_view::npos) {
    value = text.substr(colon + 1);
    if (!value.empty() && value.front() == ' ') value.remove_prefix(1);
    at = offset + static_cast<uint64_t>(value.data() - text.data());
  }
  if (overlong_) cut_ = true;
  if (!has_data_) within_ = {at, 0};
  else data_.push_back('\n');
  has_data_ = true;
  const size_t room = kEventBound - std::min(kEventBound, data_.size());
  if (value.size() > room) cut_ = true;
  data_.append(value.substr(0, room));
  within_.length = at + value.size() - within_.offset;
}

void SseParser::dispatch(uint64_t end, bool complete) {
  if (has_data_) sink_.on_event(data_, within_, {event_start_, end - event_start_}, complete && !cut_);
  data_.clear();
  has_data_ = cut_ = false;
  within_ = {};
  event_start_ = end;
}

void SseParser::finish() {
  if (!partial_.empty()) {
    std::string last;
    last.swap(partial_);
    line(last, line_start_, position_);
  }
  // The standard drops an event without its empty line; it was received all the same.
  dispatch(position_, false);
}

}  // namespace vitrine
