#include "serve/http/message.h"

#include <boost/beast/http/status.hpp>
#include <ostream>

#include "base/text.h"

namespace vitrine::serve {

std::string_view find_header(const Headers& headers, std::string_view name) {
  for (const auto& [key, value] : headers) {
    if (equals_ignoring_case(key, name)) return value;
  }
  return {};
}

std::string_view status_text(int status) {
  namespace http = boost::beast::http;
  const http::status known = http::int_to_status(static_cast<unsigned>(status));
  if (known == http::status::unknown) return "Status";
  const auto text = http::obsolete_reason(known);
  return {text.data(), text.size()};
}

}  // namespace vitrine::serve
