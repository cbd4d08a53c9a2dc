// Ends an answer at a stop string, wherever token boundaries fall.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vitrine {

class StopMatcher {
 public:
  // Empty strings never match. The stop that begins first in the text ends it;
  // of those that begin at the same place the one that is complete first.
  explicit StopMatcher(std::vector<std::string> stops);

  // Takes more text; returns what is certainly in front of any stop. After a
  // match stopped() holds and everything else is dropped, the stop included.
  std::string push(std::string_view text);
  // The text ended: what was held back, because it might have begun a stop.
  std::string finish();

  bool stopped() const { return matched_.has_value(); }
  const std::string& matched() const { return stops_[*matched_]; }  // REQUIRES: stopped()

 private:
  std::vector<std::string> stops_;
  std::optional<size_t> matched_;
  std::string held_;
};

}  // namespace vitrine
