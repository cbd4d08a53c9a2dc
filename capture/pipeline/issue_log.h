// Counted issues: equal (cause, what) pairs are one row with a count and the
// first place. Bounded, so that hostile input cannot grow it.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "capture/types.h"

namespace vitrine {

struct CountedIssue {
  Issue first;
  uint64_t count = 0;
};

class IssueLog : public IssueSink {
 public:
  static constexpr size_t kDistinct = 1000;  // further kinds are counted together

  void issue(Issue issue) override;
  void merge(const IssueLog& other);
  std::vector<CountedIssue> rows() const;  // ordered by cause, then text
  uint64_t total() const { return total_; }

 private:
  void add(const Issue& issue, uint64_t count);
  std::map<std::pair<Cause, std::string>, CountedIssue> rows_;
  uint64_t total_ = 0;
};

}  // namespace vitrine
