// CountryDatabase, over libmaxminddb.
#include <maxminddb.h>

#include <cstring>

#include "audit/date_text.h"
#include "audit/recipient.h"
#include "audit/regions.h"

namespace vitrine {

struct CountryDatabase::Handle {
  MMDB_s database{};
  bool open = false;
  ~Handle() {
    if (open) MMDB_close(&database);
  }
};

CountryDatabase::CountryDatabase() : handle_(std::make_unique<Handle>()) {}
CountryDatabase::~CountryDatabase() = default;
CountryDatabase::CountryDatabase(CountryDatabase&&) noexcept = default;
CountryDatabase& CountryDatabase::operator=(CountryDatabase&&) noexcept = default;

Result<CountryDatabase> CountryDatabase::open(const std::string& path) {
  CountryDatabase result;
  const int status = MMDB_open(path.c_str(), MMDB_MODE_MMAP, &result.handle_->database);
  if (status != MMDB_SUCCESS) {
    return fail(ErrorCode::unreadable, std::string("no MaxMind database: ") + MMDB_strerror(status), path);
  }
  result.handle_->open = true;
  const MMDB_metadata_s& metadata = result.handle_->database.metadata;
  result.type_ = metadata.database_type ? metadata.database_type : "";
  constexpr uint64_t kReach = INT64_MAX / 1'000'000'000;
  result.build_date_ = metadata.build_epoch < kReach
                           ? date_of(Timestamp{static_cast<int64_t>(metadata.build_epoch) * 1'000'000'000})
                           : std::string{};
  return result;
}

namespace {

std::string text_at(MMDB_entry_s entry, const char* const* path) {
  MMDB_entry_data_s data;
  if (MMDB_aget_value(&entry, &data, path) != MMDB_SUCCESS || !data.has_data ||
      data.type != MMDB_DATA_TYPE_UTF8_STRING) {
    return {};
  }
  return std::string(data.utf8_string, std::min<uint32_t>(data.data_size, 256));
}

}  // namespace

std::optional<CountryDatabase::Answer> CountryDatabase::lookup(const IpAddress& address) const {
  if (address.family == 0) return std::nullopt;
  sockaddr_storage storage{};
  if (address.family == 4) {
    auto* v4 = reinterpret_cast<sockaddr_in*>(&storage);
    v4->sin_family = AF_INET;
    std::memcpy(&v4->sin_addr, address.bytes.data(), 4);
  } else {
    auto* v6 = reinterpret_cast<sockaddr_in6*>(&storage);
    v6->sin6_family = AF_INET6;
    std::memcpy(&v6->sin6_addr, address.bytes.data(), 16);
  }
  int status = MMDB_SUCCESS;
  MMDB_lookup_result_s found =
      MMDB_lookup_sockaddr(&handle_->database, reinterpret_cast<const sockaddr*>(&storage), &status);
  if (status != MMDB_SUCCESS || !found.found_entry) return std::nullopt;
  static constexpr const char* kFlat[] = {"country_code", nullptr};
  static constexpr const char* kNested[] = {"country", "iso_code", nullptr};
  static constexpr const char* kOrganisation[] = {"autonomous_system_organization", nullptr};
  static constexpr const char* kName[] = {"as_name", nullptr};
  Answer answer;
  answer.country = text_at(found.entry, kFlat);
  if (answer.country.empty()) answer.country = text_at(found.entry, kNested);
  if (!is_country_code(answer.country)) answer.country.clear();
  answer.owner = text_at(found.entry, kOrganisation);
  if (answer.owner.empty()) answer.owner = text_at(found.entry, kName);
  return answer;
}

}  // namespace vitrine
