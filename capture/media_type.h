// The value of a Content-Type header.
#pragma once

#include <string>
#include <string_view>

namespace vitrine {

// In lower case but for the boundary parameter, whose case matters (RFC 2046 section 5.1.1).
void assign_media_type(std::string& out, std::string_view value);

}  // namespace vitrine
