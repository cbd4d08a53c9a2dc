#include "reports/words.h"

namespace vitrine {

std::string_view tls_version_name(uint16_t version) {
  switch (version) {
    case 0x0300: return "SSL 3.0";
    case 0x0301: return "1.0";
    case 0x0302: return "1.1";
    case 0x0303: return "1.2";
    case 0x0304: return "1.3";
    default: return {};
  }
}

}  // namespace vitrine
