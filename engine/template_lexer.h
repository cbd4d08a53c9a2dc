// Jinja source -> tokens, with the white space rules that `transformers` sets:
// trim_blocks (a newline behind a block tag is dropped) and lstrip_blocks (blanks
// between the start of a line and a block tag are dropped), `-` and `+` marks, and
// no newline at the end of the template.
// Source of the rules: Jinja 3.1 documentation, "Whitespace Control".
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace vitrine {

struct TemplateToken {
  enum class Kind : uint8_t {
    text,         // to be written as it is
    block_begin,  // {%
    block_end,
    output_begin,  // {{
    output_end,
    name,
    string,  // `text` is what it means
    integer,
    real,
    symbol,  // an operator or bracket
    end,
  };
  Kind kind = Kind::end;
  uint32_t line = 0;
  std::string text;
  int64_t integer = 0;
  double real = 0;
};

tl::unexpected<Error> template_error(uint32_t line, ErrorCode code, std::string message);

// REQUIRES: `source` is well-formed UTF-8 of bounded size.
Result<std::vector<TemplateToken>> tokenize_template(std::string_view source);

// Python's str.isspace for one character.
bool is_python_space(char32_t code);
std::string_view python_rstrip(std::string_view text);
std::string_view python_lstrip(std::string_view text);

}  // namespace vitrine
