#include "capture/pipeline/issue_log.h"

namespace vitrine {

void IssueLog::issue(Issue issue) { add(issue, 1); }

void IssueLog::add(const Issue& issue, uint64_t count) {
  total_ += count;
  auto key = std::pair(issue.cause, issue.what);
  auto row = rows_.find(key);
  if (row == rows_.end()) {
    if (rows_.size() >= kDistinct) key.second = "further kinds of issue";
    row = rows_.try_emplace(key, CountedIssue{Issue{issue.cause, key.second, issue.packet, issue.connection}, 0}).first;
  }
  row->second.count += count;
  // The earliest place, whatever the order shards report in.
  Issue& first = row->second.first;
  if (issue.packet != 0 && (first.packet == 0 || issue.packet < first.packet)) {
    first.packet = issue.packet;
    first.connection = issue.connection;
  }
}

void IssueLog::merge(const IssueLog& other) {
  for (const auto& [key, row] : other.rows_) add(row.first, row.count);
}

std::vector<CountedIssue> IssueLog::rows() const {
  std::vector<CountedIssue> out;
  out.reserve(rows_.size());
  for (const auto& [key, row] : rows_) out.push_back(row);
  return out;
}

}  // namespace vitrine
