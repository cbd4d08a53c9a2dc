#include "engine/stop_matcher.h"

#include <algorithm>
#include <utility>

namespace vitrine {

StopMatcher::StopMatcher(std::vector<std::string> stops) {
  for (std::string& text : stops) {
    if (text.empty()) continue;
    Stop stop;
    stop.failure.assign(text.size(), 0);
    for (size_t i = 1, length = 0; i < text.size(); ++i) {
      while (length > 0 && text[i] != text[length]) length = stop.failure[length - 1];
      if (text[i] == text[length]) ++length;
      stop.failure[i] = length;
    }
    stop.text = std::move(text);
    stops_.push_back(std::move(stop));
  }
}

std::string StopMatcher::push(std::string_view text) {
  if (stopped()) return {};
  for (const char c : text) {
    held_.push_back(c);
    for (size_t i = 0; i < stops_.size(); ++i) {
      Stop& stop = stops_[i];
      while (stop.state > 0 && stop.text[stop.state] != c) stop.state = stop.failure[stop.state - 1];
      if (stop.text[stop.state] == c) ++stop.state;
      if (stop.state == stop.text.size() && (!matched_ || stop.text.size() > matched().size())) matched_ = i;
    }
    if (!matched_) continue;
    held_.resize(held_.size() - matched().size());
    return std::exchange(held_, {});
  }
  size_t open = 0;  // bytes that may begin a stop
  for (const Stop& stop : stops_) open = std::max(open, stop.state);
  std::string certain = held_.substr(0, held_.size() - open);
  held_.erase(0, certain.size());
  return certain;
}

std::string StopMatcher::finish() {
  for (Stop& stop : stops_) stop.state = 0;
  return std::exchange(held_, {});
}

}  // namespace vitrine
