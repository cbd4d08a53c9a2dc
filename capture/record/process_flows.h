// Which TCP and UDP flows belong to a process tree, from /proc. Polled: a flow
// shorter than the poll and unseen by a SYN-triggered look stays unattributed.
#pragma once

#include <sys/types.h>

#include <map>
#include <set>
#include <string>
#include <vector>

#include "capture/record/flow_comment.h"

namespace vitrine {

class ProcessFlows {
 public:
  explicit ProcessFlows(pid_t root) : root_(root) {}
  void look();  // one poll
  std::vector<FlowComment> flows() const;
  size_t size() const { return flows_.size(); }

 private:
  void find_tree();
  void read_table(const char* name, const char* protocol, const std::map<uint64_t, std::string>& sockets);

  pid_t root_;
  std::set<pid_t> tree_;  // grows: children of processes that have ended stay ours
  std::map<std::pair<Endpoint, Endpoint>, FlowComment> flows_;
};

}  // namespace vitrine
