// Words for values of the result that audit/ does not print itself.
#pragma once

#include <cstdint>
#include <string_view>

namespace vitrine {

std::string_view tls_version_name(uint16_t version);  // 0x0304 → "1.3"; empty for 0 and unknown ones

}  // namespace vitrine
