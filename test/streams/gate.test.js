/** Four of the libraries, directly and through nginx. */
import { LIBRARIES } from "./libraries.js";
import { follow } from "./scenario.js";

follow(LIBRARIES.filter(({ gate }) => gate));
