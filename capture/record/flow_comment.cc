#include "capture/record/flow_comment.h"

#include <charconv>

namespace vitrine {
namespace {

constexpr std::string_view kPrefix = "vitrine-flow: ", kArrow = " > ", kProcess = " process=";

bool parse_endpoint(std::string_view text, Endpoint& out) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return false;
  std::string_view host = text.substr(0, colon);
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  out.ip = IpAddress::parse(host);
  const std::string_view port = text.substr(colon + 1);
  const auto result = std::from_chars(port.data(), port.data() + port.size(), out.port);
  return out.ip.family != 0 && result.ec == std::errc{} && result.ptr == port.data() + port.size();
}

}  // namespace

std::string to_string(const FlowComment& flow) {
  std::string out(kPrefix);
  out += flow.protocol + " " + flow.client.to_string();
  out.append(kArrow);
  out += flow.server.to_string();
  out.append(kProcess);
  return out + flow.process;
}

bool read_flow_comment(std::string_view comment, FlowComment& out) {
  if (!comment.starts_with(kPrefix)) return false;
  comment.remove_prefix(kPrefix.size());
  const size_t space = comment.find(' ');
  const size_t arrow = comment.find(kArrow), process = comment.find(kProcess);
  if (space == std::string_view::npos || arrow == std::string_view::npos || process == std::string_view::npos)
    return false;
  if (space >= arrow || arrow + kArrow.size() > process) return false;
  out.protocol = comment.substr(0, space);
  out.process = comment.substr(process + kProcess.size());
  const size_t server = arrow + kArrow.size();
  return parse_endpoint(comment.substr(space + 1, arrow - space - 1), out.client) &&
         parse_endpoint(comment.substr(server, process - server), out.server);
}

}  // namespace vitrine
