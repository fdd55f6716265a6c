#include "tests/course/views.h"

namespace course {

void same_view(const std::string& what, const tinyops::View& yours, const std::vector<int64_t>& want) {
  same(what + ": the address of each element (-1: there is none)", addresses(yours), want, yours.shape);
}

}  // namespace course
