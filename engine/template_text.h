// Python's str methods, as far as templates use them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vitrine {

enum class Letters { lower, upper, title, capitalize };
std::string change_case(std::string_view text, Letters how);

// `characters`: what is stripped; nothing: white space.
std::string_view strip(std::string_view text, std::optional<std::string_view> characters, bool left, bool right);
// `separator`: nothing splits at runs of white space. `limit` < 0: no limit. From the right: rsplit.
// REQUIRES: the separator is not empty.
std::vector<std::string_view> split(std::string_view text, std::optional<std::string_view> separator, int64_t limit,
                                    bool from_right);
std::vector<std::string_view> split_lines(std::string_view text);
// Nothing when the result would be longer than `bound`.
std::optional<std::string> replace(std::string_view text, std::string_view old, std::string_view by, int64_t limit,
                                   size_t bound);

}  // namespace vitrine
