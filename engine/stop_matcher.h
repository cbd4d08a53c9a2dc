// Ends an answer at a stop string, wherever token boundaries fall.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vitrine {

class StopMatcher {
 public:
  // Empty strings never match. The stop that is complete first ends the text; of
  // those complete at the same byte, the longest. So the result does not depend
  // on how the text was cut into pieces.
  explicit StopMatcher(std::vector<std::string> stops);

  // Takes more text; returns what is certainly in front of any stop. After a
  // match stopped() holds and everything else is dropped, the stop included.
  std::string push(std::string_view text);
  // The text ended: what was held back, because it might have begun a stop.
  std::string finish();

  bool stopped() const { return matched_.has_value(); }
  const std::string& matched() const { return stops_[*matched_].text; }  // REQUIRES: stopped()

 private:
  // Knuth, Morris, Pratt (1977): one state per stop.
  struct Stop {
    std::string text;
    std::vector<size_t> failure;  // failure[i]: the longest proper prefix that ends the first i + 1 bytes
    size_t state = 0;             // bytes of `text` that the input ends with
  };
  std::vector<Stop> stops_;
  std::optional<size_t> matched_;
  std::string held_;
};

}  // namespace vitrine
