#include <openssl/err.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <memory>

#include "capture/tls/handshake.h"
#include "capture/types.h"

namespace vitrine::tls {
namespace {

constexpr size_t kMaxNames = 256;

struct FreeX509 {
  void operator()(X509* certificate) const { X509_free(certificate); }
};
struct FreeNames {
  void operator()(GENERAL_NAMES* names) const { GENERAL_NAMES_free(names); }
};

void add(std::vector<std::string>& names, std::string name) {
  if (!name.empty() && names.size() < kMaxNames && std::find(names.begin(), names.end(), name) == names.end())
    names.push_back(std::move(name));
}

}  // namespace

std::vector<std::string> names_of_certificate(Bytes der, bool& ok) {
  std::vector<std::string> names;
  const unsigned char* at = der.data();
  const std::unique_ptr<X509, FreeX509> certificate(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
  ok = certificate != nullptr;
  if (!ok) {
    ERR_clear_error();  // the queue belongs to whoever shares this thread
    return names;
  }
  X509_NAME* subject = X509_get_subject_name(certificate.get());
  for (int i = X509_NAME_get_index_by_NID(subject, NID_commonName, -1); i >= 0;
       i = X509_NAME_get_index_by_NID(subject, NID_commonName, i)) {
    unsigned char* text = nullptr;
    const int length = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, i)));
    if (length > 0) add(names, std::string(reinterpret_cast<char*>(text), static_cast<size_t>(length)));
    OPENSSL_free(text);
  }
  const std::unique_ptr<GENERAL_NAMES, FreeNames> alternatives(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate.get(), NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; alternatives != nullptr && i < sk_GENERAL_NAME_num(alternatives.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(alternatives.get(), i);
    if (name->type != GEN_DNS && name->type != GEN_IPADD) continue;
    const ASN1_STRING* value = name->type == GEN_DNS ? name->d.dNSName : name->d.iPAddress;
    const Bytes bytes(ASN1_STRING_get0_data(value), static_cast<size_t>(ASN1_STRING_length(value)));
    if (name->type == GEN_DNS) add(names, std::string(as_text(bytes)));
    else if (bytes.size() == 4) add(names, IpAddress::v4(bytes).to_string());
    else if (bytes.size() == 16) add(names, IpAddress::v6(bytes).to_string());
  }
  ERR_clear_error();
  return names;
}

}  // namespace vitrine::tls
