// Finds planted secrets in transmitted values, also when they were encoded:
// as is, reversed, percent-encoded, hexadecimal, base64 and base64url at any of
// the three alignments.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "audit/context.h"

namespace vitrine {

class CanaryMatcher {
 public:
  explicit CanaryMatcher(const std::vector<Canary>& canaries);

  struct Match {
    std::string_view canary;    // Canary::id
    std::string_view encoding;  // "plain", "reversed", "percent", "hex", "base64", "base64url"
  };
  bool empty() const { return needles_.empty(); }
  // Every (canary, encoding) in `value`, in a fixed order; cleared first.
  void find(std::string_view value, std::vector<Match>& matches) const;

 private:
  struct Needle {
    std::string canary, encoding, bytes;
    bool fold_case = false;  // hex and percent digits
  };
  std::vector<Needle> needles_;
};

}  // namespace vitrine
