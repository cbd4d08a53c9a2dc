// How a recorder notes which process a flow belonged to: one comment per flow
// on the interface statistics block that ends the recording.
//   vitrine-flow: tcp 203.0.113.9:51312 > 198.51.100.4:443 process=curl
#pragma once

#include <string>
#include <string_view>

#include "capture/types.h"

namespace vitrine {

struct FlowComment {
  std::string protocol;  // "tcp", "udp"
  Endpoint client, server;
  std::string process;  // program name, without its path
};

std::string to_string(const FlowComment& flow);
// False when the comment is something else or damaged.
bool read_flow_comment(std::string_view comment, FlowComment& out);

}  // namespace vitrine
