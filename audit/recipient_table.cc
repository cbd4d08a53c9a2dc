#include "audit/recipient_table.h"

#include <algorithm>

namespace vitrine {
namespace {

template <class T>
void insert_sorted(std::vector<T>& list, T value) {
  auto at = std::lower_bound(list.begin(), list.end(), value);
  if (at == list.end() || *at != value) list.insert(at, std::move(value));
}

}  // namespace

RecipientTable::RecipientTable(const AuditInputs& inputs, std::string service, std::set<std::string> publisher_entities,
                               const std::map<IpAddress, std::set<std::string>>& names)
    : inputs_(inputs),
      service_(std::move(service)),
      publisher_entities_(std::move(publisher_entities)),
      names_(names) {}

bool RecipientTable::stands_in(const std::string& host) const {
  const auto& globs = inputs_.context.stand_ins;
  return !service_.empty() &&
         std::any_of(globs.begin(), globs.end(), [&](const std::string& glob) { return host_matches(glob, host); });
}

const Entity* RecipientTable::look_up(const std::string& host, const IpAddress& server) const {
  if (stands_in(host)) return inputs_.recipients.of_service(service_);
  const IpAddress literal = IpAddress::parse(host);
  if (literal.family == 0) {
    if (const Entity* entity = inputs_.recipients.by_host(host)) return entity;
  }
  auto at = names_.find(literal.family != 0 ? literal : server);
  if (at == names_.end()) return nullptr;
  // The names an address was asked under say who it is only when they agree.
  const Entity* only = nullptr;
  for (const std::string& name : at->second) {
    const Entity* entity =
        literal.family != 0 ? inputs_.recipients.by_host(name, name) : inputs_.recipients.by_canonical_name(name);
    if (entity == nullptr) continue;
    if (only != nullptr && only != entity) return nullptr;
    only = entity;
  }
  return only;
}

void RecipientTable::describe(RecipientInfo& info, const Entity* entity, const std::string& host,
                              const IpAddress& server) {
  info.domain = registrable_domain(host);
  if (entity != nullptr) {
    info.entity = entity->id;
    info.name = entity->name;
    info.parent = entity->parent;
    info.source = entity->source;
    info.source_date = entity->date;
    info.note = entity->note;
    info.categories = entity->categories;
    const bool ours = (!service_.empty() && entity->service == service_) || publisher_entities_.count(entity->id);
    info.role = ours                               ? RecipientRole::first_party
                : entity->kind == "infrastructure" ? RecipientRole::infrastructure
                : entity->kind == "processor"      ? RecipientRole::processor
                                                   : RecipientRole::third_party;
    if (stands_in(host)) {
      // Whose place it took is known; where the data would have gone from there was not seen.
      info.role = RecipientRole::first_party;
      info.name = host + " (for " + entity->name + ")";
      return;
    }
    if (!entity->country.empty()) {
      info.countries.push_back({CountryOf::entity, entity->country, entity->source, entity->date, entity->name});
    }
    return;
  }
  const IpAddress literal = host.empty() ? server : IpAddress::parse(host);
  info.role = literal.family != 0 && literal.is_private() ? RecipientRole::local : RecipientRole::third_party;
}

void RecipientTable::add_countries(RecipientInfo& info, const IpAddress& server) const {
  if (server.family == 0) return;
  const std::string address = server.to_string();
  if (std::binary_search(info.addresses.begin(), info.addresses.end(), address)) return;
  insert_sorted(info.addresses, address);
  if (inputs_.ip_countries != nullptr) {
    const auto& database = *inputs_.ip_countries;
    const auto answer = database.lookup(server);
    insert_sorted(info.countries, CountryInfo{CountryOf::ip, answer ? answer->country : std::string{}, database.type(),
                                              database.build_date(), address});
  }
  if (inputs_.network_owners != nullptr) {
    const auto& database = *inputs_.network_owners;
    if (const auto answer = database.lookup(server)) {
      insert_sorted(info.countries,
                    CountryInfo{CountryOf::network_owner, answer->country, database.type(), database.build_date(),
                                answer->owner.empty() ? address : answer->owner});
    }
  }
}

const std::string& RecipientTable::resolve(const std::string& host, const IpAddress& server) {
  auto [at, fresh] = seen_.try_emplace({host, server});
  if (!fresh) return at->second;
  const Entity* entity = look_up(host, server);
  std::string key = stands_in(host) ? host : entity ? entity->id : registrable_domain(host);
  if (key.empty()) key = !host.empty() ? host : server.family != 0 ? server.to_string() : "(unknown)";
  auto [info, added] = table_.try_emplace(key);
  if (added) {
    info->second.key = key;
    describe(info->second, entity, host, server);
  }
  if (!host.empty()) {
    insert_sorted(info->second.hosts, host);
    by_host_.emplace(host, key);
  }
  add_countries(info->second, server);
  std::sort(info->second.countries.begin(), info->second.countries.end());
  at->second = std::move(key);
  return at->second;
}

std::string RecipientTable::find(const std::string& host) const {
  auto at = by_host_.find(host);
  return at == by_host_.end() ? std::string{} : at->second;
}

Leg RecipientTable::leg(const std::string& host, const IpAddress& server) const {
  auto at = names_.find(server);
  if (at == names_.end()) return Leg::direct;
  for (const std::string& name : at->second) {
    if (name == host) continue;
    const Entity* entity = inputs_.recipients.by_canonical_name(name);
    if (entity != nullptr && entity->kind == "infrastructure") return Leg::through_edge;
  }
  return Leg::direct;
}

const Entity* RecipientTable::entity(const std::string& key) const { return inputs_.recipients.entity(key); }

}  // namespace vitrine
