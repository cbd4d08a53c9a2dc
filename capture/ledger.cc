#include "capture/ledger.h"

#include <algorithm>

namespace vitrine {

std::string host_of(const ConnectionInfo& connection, const std::string& first_exchange_host) {
  if (!connection.tls_info.sni.empty()) {
    std::string name = connection.tls_info.sni.substr(0, 255);
    for (char& c : name) {
      if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    }
    return name;
  }
  if (!first_exchange_host.empty()) return first_exchange_host;
  return connection.server.ip.family != 0 ? connection.server.ip.to_string() : "(unknown)";
}

CoverageLedger::Row& CoverageLedger::row(const std::string& host) {
  auto found = rows_.find(host);
  if (found != rows_.end()) return found->second;
  return rows_[rows_.size() < kMaxHosts ? host : std::string(kOtherHosts)];
}

void CoverageLedger::add(const std::string& host, Direction direction, const ByteCounts& bytes) {
  row(host).bytes[static_cast<size_t>(direction)] += bytes;
}

void CoverageLedger::exchange(const Exchange& exchange, const std::array<uint64_t, 2>& opaque) {
  const std::string& host = exchange.host.empty() ? kOtherHosts : exchange.host;
  for (size_t i = 0; i < 2; ++i) {
    ByteCounts bytes = exchange.messages[i].bytes;
    auto& decoded = bytes.by_cause[static_cast<size_t>(Cause::decoded)];
    const uint64_t moved = std::min(opaque[i], decoded);
    decoded -= moved;
    bytes.add(Cause::opaque, moved);
    add(host, static_cast<Direction>(i), bytes);
  }
  auto [at, fresh] = first_hosts_.try_emplace(exchange.id.connection, exchange.id.ordinal, host);
  if (!fresh && exchange.id.ordinal < at->second.first) at->second = {exchange.id.ordinal, host};
}

void CoverageLedger::connection(const ConnectionInfo& connection) {
  std::string first;
  if (auto at = first_hosts_.find(connection.id); at != first_hosts_.end()) {
    first = std::move(at->second.second);
    first_hosts_.erase(at);
  }
  const std::string host = host_of(connection, first);
  for (size_t i = 0; i < 2; ++i) add(host, static_cast<Direction>(i), connection.overhead[i]);
}

void CoverageLedger::merge(CoverageLedger&& other) {
  for (auto& [host, theirs] : other.rows_) {
    Row& ours = row(host);
    for (size_t i = 0; i < 2; ++i) ours.bytes[i] += theirs.bytes[i];
  }
  first_hosts_.merge(other.first_hosts_);
  other.rows_.clear();
  other.first_hosts_.clear();
}

std::array<ByteCounts, 2> CoverageLedger::totals() const {
  std::array<ByteCounts, 2> sums{};
  for (const auto& [host, row] : rows_) {
    for (size_t i = 0; i < 2; ++i) sums[i] += row.bytes[i];
  }
  return sums;
}

}  // namespace vitrine
