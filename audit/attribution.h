// Which flows belong to the subject (audit model, section 2). Everything that
// nothing ties to it stays unattributed.
#pragma once

#include <map>
#include <set>
#include <string>

#include "audit/evaluate.h"
#include "audit/flow.h"

namespace vitrine {

// Rules, in this order:
//   1. The context lists processes and the recorder knows the flow's: it is the
//      subject's exactly when it is one of them.
//   2. What asked (initiator, Origin, Referer) is a host of the subject, or a
//      host that only the subject uses in this capture: an embedded frame. A
//      link that was followed to a page of its own is no request of the subject,
//      and that page vouches for nothing.
//   3. The host is in the context's list, or is the first party's own.
//   4. A client rule file lists the host, and nothing else asked for it: other
//      sites use the same third parties.
// For requests that name nobody who asked (no Referer, Origin or initiator), and
// connections that were not decrypted:
//   5. They share all their connections with requests of the subject and with
//      nobody else's, and nobody else asked for anything in the whole capture: a
//      browser may use one connection for two pages, and only one was open.
//   6. The recorder knows the process, and all that is known of it is the
//      subject's: it asked the first party in requests that were read, without
//      the fetch metadata of a browser, for no page, in nobody else's name, and
//      no other service.
class Attributor {
 public:
  // `service` may differ from the context's when that did not say. REQUIRES:
  // both references outlive this.
  Attributor(const AuditInputs& inputs, const std::string& service,
             const std::map<FlowContextKey, FlowContext>& contexts);

  Attribution of(const FlowContextKey& key) const;
  bool first_party(const std::string& host) const;

 private:
  bool own(const std::string& host) const;  // may vouch for what it asks for
  bool client_rule(const std::string& host) const;
  bool context_host(const std::string& host) const;
  void find_client_processes(const std::map<FlowContextKey, FlowContext>& contexts);
  void find_shared_connections(const std::map<FlowContextKey, FlowContext>& contexts);

  const AuditInputs& inputs_;
  std::string service_;
  std::set<std::string> carriers_;          // hosts that only the subject uses
  std::set<FlowContextKey> left_;           // nothing but links followed to pages of others
  std::set<FlowContextKey> shared_;         // rule 5
  std::set<std::string> client_processes_;  // rule 6
};

// The service whose first-party hosts were asked most often; empty when none was.
std::string guess_service(const AuditInputs& inputs, const std::map<FlowContextKey, FlowContext>& contexts);

}  // namespace vitrine
