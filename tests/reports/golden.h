// Golden files under tests/golden/reports. VITRINE_UPDATE_GOLDEN=1 rewrites them.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "base/file.h"

namespace vitrine::testing_reports {

inline void expect_golden(const std::string& name, const std::string& text) {
  const std::string path = std::string(VITRINE_SOURCE_DIR) + "/tests/golden/reports/" + name;
  if (std::getenv("VITRINE_UPDATE_GOLDEN") != nullptr) {
    std::filesystem::create_directories(std::filesystem::path(path).parent_path());
    ASSERT_TRUE(write_file(path, text).has_value());
    std::filesystem::permissions(path, std::filesystem::perms(0644));
  }
  const Result<std::string> golden = read_file(path);
  ASSERT_TRUE(golden.has_value()) << path;
  if (*golden == text) return;
  size_t at = 0;
  while (at < golden->size() && at < text.size() && (*golden)[at] == text[at]) ++at;
  const size_t from = at < 80 ? 0 : at - 80;
  ADD_FAILURE() << name << " differs at byte " << at << "\n--- golden\n"
                << golden->substr(from, 240) << "\n--- now\n"
                << text.substr(from, 240) << "\n(VITRINE_UPDATE_GOLDEN=1 rewrites it)";
}

// Texts that try to be markup, to leave a quote, to move a cursor or to turn a line around.
inline const std::vector<std::string>& poisons() {
  static const std::vector<std::string> kPoisons = {
      "<script>alert(1)</script>",
      "\"><img src=x onerror=alert(1)>",
      "' onmouseover='alert(1)",
      "</style></title></svg><iframe src=//x.example>",
      "javascript:alert(1)",
      "{{TITLE}}{{%AUTOESCAPE}}{{#FINDING}}",
      "<!-- --> ]]> &lt;b&gt; &#x3c;",
      "\xe2\x80\xae"
      "detrevni"
      "\xe2\x80\xac\xe2\x81\xa6x",
      std::string("\x1b[31m\x07\0\r\n\x9b", 11),
      "\xff\xfe\xc0\xaf\xed\xa0\x80",
      "\xc2\x9b"
      "31m\xef\xbb\xbf\xf3\xa0\x81\x81",
  };
  return kPoisons;
}

}  // namespace vitrine::testing_reports
