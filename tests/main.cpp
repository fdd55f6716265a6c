// The one file with doctest's main; the tests themselves are in test_*.cpp, one for each room.
//
//   make test ARGS='--test-case=*view*'    only some          make test ARGS=--list-test-cases    their names
//
// A test case that trains a network has `[train]` in its name, so that the slow builds can leave it out.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>
