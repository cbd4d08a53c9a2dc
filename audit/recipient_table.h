// The recipients of one capture: every host and address met, joined to
// entities, roles and the three countries.
#pragma once

#include <map>
#include <set>
#include <string>

#include "audit/evaluate.h"
#include "audit/flow.h"

namespace vitrine {

class RecipientTable {
 public:
  // `publisher_entities`: ids that count as the first party besides those of
  // the service. REQUIRES: inputs outlives this.
  RecipientTable(const AuditInputs& inputs, std::string service, std::set<std::string> publisher_entities,
                 const std::map<IpAddress, std::set<std::string>>& names);

  // Key of the recipient behind a host or, where it has no name, an address.
  // Adds it on first sight.
  const std::string& resolve(const std::string& host, const IpAddress& server);
  // The same for hosts and addresses that were resolved before; "" else.
  std::string find(const std::string& host) const;

  // Does the traffic pass infrastructure that ends TLS for the host?
  Leg leg(const std::string& host, const IpAddress& server) const;

  const RecipientInfo& at(const std::string& key) const { return table_.at(key); }
  const Entity* entity(const std::string& key) const;  // nullptr when no list knows it
  const std::map<std::string, RecipientInfo>& all() const { return table_; }

 private:
  bool stands_in(const std::string& host) const;  // Context::stand_ins
  const Entity* look_up(const std::string& host, const IpAddress& server) const;
  void describe(RecipientInfo& info, const Entity* entity, const std::string& host, const IpAddress& server);
  void add_countries(RecipientInfo& info, const IpAddress& server) const;

  const AuditInputs& inputs_;
  std::string service_;
  std::set<std::string> publisher_entities_;
  const std::map<IpAddress, std::set<std::string>>& names_;
  std::map<std::string, RecipientInfo> table_;
  std::map<std::pair<std::string, IpAddress>, std::string> seen_;
  std::map<std::string, std::string> by_host_;
};

}  // namespace vitrine
