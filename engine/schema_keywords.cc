#include "engine/schema_keywords.h"

#include <algorithm>
#include <functional>
#include <unordered_map>

#include "base/text.h"

namespace vitrine {
namespace {

using Kind = SchemaValue::Kind;
using K = SchemaKeywords;

tl::unexpected<Error> must_be(const SchemaValue& at, const char* what) {
  return fail(ErrorCode::malformed, std::string("it must be ") + what, at.pointer());
}

Status expect(const SchemaValue& value, Kind kind, const char* what) {
  if (value.kind != kind) return must_be(value, what);
  return {};
}

Status expect_schema(const SchemaValue& value) {
  if (value.kind != Kind::object && value.kind != Kind::boolean) return must_be(value, "a schema");
  return {};
}

Status expect_schemas(const SchemaValue& value, bool may_be_empty) {
  if (!value.is_array() || (!may_be_empty && value.values.empty())) return must_be(value, "an array of schemas");
  for (const SchemaValue* schema : value.values) {
    if (Status status = expect_schema(*schema); !status) return status;
  }
  return {};
}

Status read_count(const SchemaValue& value, std::optional<uint32_t>& out) {
  const Decimal number = value.kind == Kind::number ? Decimal::parse(value.text) : Decimal{true, "1", ""};
  if (number.negative || !number.is_integer()) return must_be(value, "a number of things, 0 or more");
  out = compare(number, Decimal::parse("2147483648")) >= 0 ? kLongest : static_cast<uint32_t>(std::stoul(number.whole));
  return {};
}

const std::unordered_map<std::string_view, uint32_t> kTypes = {
    {"null", K::kNull},     {"boolean", K::kBoolean}, {"integer", K::kInteger}, {"number", K::kNumber},
    {"string", K::kString}, {"array", K::kArray},     {"object", K::kObject}};

Status read_types(const SchemaValue& value, K& out) {
  uint32_t types = 0;
  const auto add = [&](const SchemaValue& name) -> Status {
    const auto type = name.is_string() ? kTypes.find(name.text) : kTypes.end();
    if (type == kTypes.end()) return must_be(name, "null, boolean, integer, number, string, array or object");
    types |= type->second;
    return {};
  };
  if (value.is_array() && !value.values.empty()) {
    for (const SchemaValue* name : value.values) {
      if (Status status = add(*name); !status) return status;
    }
  } else if (Status status = add(value); !status) {
    return status;
  }
  out.types = types;
  return {};
}

using Reader = std::function<Status(const SchemaValue&, K&)>;

Reader number(const SchemaValue* K::*member) {
  return [member](const SchemaValue& value, K& out) -> Status {
    out.*member = &value;
    out.spoken_of |= K::kNumber;
    return expect(value, Kind::number, "a number");
  };
}

Reader count(std::optional<uint32_t> K::*member, uint32_t type) {
  return [member, type](const SchemaValue& value, K& out) {
    out.spoken_of |= type;
    return read_count(value, out.*member);
  };
}

Reader text(const SchemaValue* K::*member, uint32_t type) {
  return [member, type](const SchemaValue& value, K& out) {
    out.spoken_of |= type;
    out.*member = &value;
    return expect(value, Kind::string, "a string");
  };
}

Reader schema(const SchemaValue* K::*member, uint32_t type) {
  return [member, type](const SchemaValue& value, K& out) {
    out.spoken_of |= type;
    out.*member = &value;
    return expect_schema(value);
  };
}

Reader schemas(const SchemaValue* K::*member, uint32_t type, bool may_be_empty = false) {
  return [member, type, may_be_empty](const SchemaValue& value, K& out) {
    out.spoken_of |= type;
    out.*member = &value;
    return expect_schemas(value, may_be_empty);
  };
}

Status read_properties(const SchemaValue& value, K& out) {
  out.properties = &value;
  out.spoken_of |= K::kObject;
  if (Status status = expect(value, Kind::object, "an object of schemas"); !status) return status;
  for (const SchemaValue* property : value.values) {
    if (Status status = expect_schema(*property); !status) return status;
  }
  return {};
}

Status read_required(const SchemaValue& value, K& out) {
  out.required = &value;
  out.spoken_of |= K::kObject;
  if (!value.is_array()) return must_be(value, "an array of names");
  for (const SchemaValue* name : value.values) {
    if (!name->is_string()) return must_be(*name, "a name");
  }
  return {};
}

// The drafts whose keywords mean here what they mean there, or are refused.
Status read_dialect(const SchemaValue& value, K&) {
  std::string_view name = value.text;
  if (name.ends_with('#')) name.remove_suffix(1);
  for (const char* known :
       {"https://json-schema.org/draft/2020-12/schema", "https://json-schema.org/draft/2019-09/schema",
        "http://json-schema.org/draft-07/schema", "http://json-schema.org/draft-06/schema"}) {
    if (value.is_string() && name == known) return {};
  }
  return fail(ErrorCode::unsupported, "this dialect of JSON Schema is not supported", value.pointer());
}

Status read_definitions(const SchemaValue& value, K&) { return expect(value, Kind::object, "an object of schemas"); }

// A keyword that is refused unless its value changes nothing.
Reader only(bool harmless) {
  return [harmless](const SchemaValue& value, K&) -> Status {
    if (value.kind == Kind::boolean && value.truth == harmless) return {};
    return fail(ErrorCode::unsupported, "this keyword is not supported", value.pointer());
  };
}

const std::unordered_map<std::string_view, Reader>& readers() {
  static const Reader ignored = [](const SchemaValue&, K&) -> Status { return {}; };
  static const std::unordered_map<std::string_view, Reader> kReaders = {
      {"type", read_types},
      {"enum",
       [](const SchemaValue& value, K& out) {
         out.enumeration = &value;
         return expect(value, Kind::array, "an array of values");
       }},
      {"const",
       [](const SchemaValue& value, K& out) -> Status {
         out.constant = &value;
         return {};
       }},
      {"minLength", count(&K::minimum_length, K::kString)},
      {"maxLength", count(&K::maximum_length, K::kString)},
      {"pattern", text(&K::pattern, K::kString)},
      {"format", text(&K::format, K::kString)},
      {"minimum", number(&K::minimum)},
      {"maximum", number(&K::maximum)},
      {"exclusiveMinimum", number(&K::exclusive_minimum)},
      {"exclusiveMaximum", number(&K::exclusive_maximum)},
      {"multipleOf", number(&K::multiple_of)},
      {"prefixItems", schemas(&K::prefix_items, K::kArray, true)},
      {"items", schema(&K::items, K::kArray)},
      {"minItems", count(&K::minimum_items, K::kArray)},
      {"maxItems", count(&K::maximum_items, K::kArray)},
      {"uniqueItems", only(false)},
      {"properties", read_properties},
      {"required", read_required},
      {"additionalProperties", schema(&K::additional, K::kObject)},
      {"allOf", schemas(&K::all_of, 0)},
      {"anyOf", schemas(&K::any_of, 0)},
      {"oneOf", schemas(&K::one_of, 0)},
      {"$ref", text(&K::reference, 0)},
      {"$defs", read_definitions},
      {"definitions", read_definitions},
      {"title", ignored},
      {"description", ignored},
      {"default", ignored},
      {"example", ignored},
      {"examples", ignored},
      {"deprecated", ignored},
      {"readOnly", ignored},
      {"writeOnly", ignored},
      {"$comment", ignored},
      {"$schema", read_dialect},
      {"discriminator", ignored},  // OpenAPI: says which property tells the alternatives of oneOf apart
      {"nullable",
       [](const SchemaValue& value, K&) -> Status {
         if (value.kind == Kind::boolean && !value.truth) return {};
         return fail(ErrorCode::unsupported, "nullable is not JSON Schema: write \"type\": [\"…\", \"null\"]",
                     value.pointer());
       }},
  };
  return kReaders;
}

}  // namespace

Result<SchemaKeywords> read_keywords(const SchemaValue& value) {
  SchemaKeywords out;
  for (size_t i = 0; i < value.names.size(); ++i) {
    const std::string_view name = value.names[i];
    const auto reader = readers().find(name);
    if (reader == readers().end()) {
      if (name.starts_with("x-")) continue;
      // Of the root, an identifier changes nothing for references within the document.
      if (name == "$id" && value.parent == nullptr) continue;
      return fail(ErrorCode::unsupported, "the keyword '" + printable(name) + "' is not supported",
                  value.values[i]->pointer());
    }
    if (Status status = reader->second(*value.values[i], out); !status) return tl::make_unexpected(status.error());
  }
  return out;
}

std::optional<std::string_view> format_pattern(std::string_view name) {
  // Dates of the proleptic Gregorian calendar from the year 1 on (RFC 3339, 5.7 and appendix C); no leap seconds.
  static const std::string kYear = "(?:[0-9]{3}[1-9]|[0-9]{2}[1-9]0|[0-9][1-9]00|[1-9]000)";
  static const std::string kLeapYear =
      "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)";
  static const std::string kDate =
      "(?:" + kYear +
      "-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
      "|02-(?:0[1-9]|1[0-9]|2[0-8]))|" +
      kLeapYear + "-02-29)";
  static const std::string kTime =
      "(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\\.[0-9]{1,9})?(?:[Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])";
  // RFC 3339, appendix A.
  static const std::string kDuration =
      "P(?:(?:[0-9]+D|[0-9]+M(?:[0-9]+D)?|[0-9]+Y(?:[0-9]+M(?:[0-9]+D)?)?)(?:T(?:[0-9]+H(?:[0-9]+M(?:[0-9]+S)?)?"
      "|[0-9]+M(?:[0-9]+S)?|[0-9]+S))?|T(?:[0-9]+H(?:[0-9]+M(?:[0-9]+S)?)?|[0-9]+M(?:[0-9]+S)?|[0-9]+S)|[0-9]+W)";
  static const std::string kLabel = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?";
  static const std::string kIpv4 =
      "(?:(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])\\.){3}(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";
  static const std::string kIpv6 = [] {  // RFC 4291, 2.2; RFC 3986, appendix A
    const std::string h = "[0-9A-Fa-f]{1,4}";
    std::string out = "(?:(?:" + h + ":){7}" + h + "|::";
    for (int before = 0; before <= 7; ++before) {  // groups before the gap, then up to 7 - before behind it
      const int behind = 7 - before;
      if (before == 0) {
        out += "(?:" + h + "(?::" + h + "){0," + std::to_string(behind - 1) + "})?";
        continue;
      }
      out += "|(?:" + h + ":){" + std::to_string(before) + "}";
      out += behind == 0   ? ":"
             : behind == 1 ? ":(?:" + h + ")?"
                           : ":(?:" + h + "(?::" + h + "){0," + std::to_string(behind - 1) + "})?";
    }
    // The last two groups as an IPv4 address.
    out += "|(?:" + h + ":){6}" + kIpv4 + "|::(?:" + h + ":){0,5}" + kIpv4;
    for (int before = 1; before <= 5; ++before) {
      out += "|(?:" + h + ":){" + std::to_string(before) + "}:(?:" + h + ":){0," + std::to_string(5 - before) + "}" +
             kIpv4;
    }
    return out + ")";
  }();
  static const auto anchored = [](const std::string& pattern) { return "^(?:" + pattern + ")$"; };
  static const std::unordered_map<std::string_view, std::string> kPatterns = [] {
    const std::string dns = kLabel + "(?:\\." + kLabel + ")*";
    const std::string atom = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+";
    // RFC 3986, appendix A, without addresses of future versions.
    const std::string unreserved = "[A-Za-z0-9._~-]|%[0-9A-Fa-f]{2}|[!$&'()*+,;=]";
    const std::string pchar = "(?:" + unreserved + "|[:@])";
    const std::string authority =
        "(?:(?:" + unreserved + "|:)*@)?(?:(?:" + unreserved + ")*|\\[" + kIpv6 + "\\])(?::[0-9]*)?";
    const std::string uri = "[A-Za-z][A-Za-z0-9+.-]*:(?://" + authority + "(?:/" + pchar + "*)*|/(?:" + pchar +
                            "+(?:/" + pchar + "*)*)?|" + pchar + "+(?:/" + pchar + "*)*|)(?:\\?(?:" + pchar +
                            "|[/?])*)?(?:#(?:" + pchar + "|[/?])*)?";
    return std::unordered_map<std::string_view, std::string>{
        {"date", anchored(kDate)},
        {"time", anchored(kTime)},
        {"date-time", anchored(kDate + "[Tt]" + kTime)},
        {"duration", anchored(kDuration)},
        {"uuid", anchored("[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")},
        {"ipv4", anchored(kIpv4)},
        {"ipv6", anchored(kIpv6)},
        // RFC 1123; the length is bounded beside the pattern.
        {"hostname", anchored(dns)},
        // RFC 5321 without quoted local parts and address literals.
        {"email", anchored(atom + "(?:\\." + atom + ")*@" + dns)},
        {"uri", anchored(uri)},
    };
  }();
  const auto found = kPatterns.find(name);
  if (found == kPatterns.end()) return std::nullopt;
  return found->second;
}

}  // namespace vitrine
