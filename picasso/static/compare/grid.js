// The grid of a comparison: kept current while its runs go on.

import { follow } from "./parts.js";

follow(document.querySelector(".compare"));
