#pragma once

#include "http/message.h"

namespace nidus::http {

// Where answers go. All may be called from any thread.
class Responder::Impl {
 public:
  // Called once for each Responder.
  virtual void answer(Response&& response) = 0;
  virtual bool gone() const = 0;
  virtual std::string_view request_id() const = 0;

 protected:
  ~Impl() = default;
};

}  // namespace nidus::http
