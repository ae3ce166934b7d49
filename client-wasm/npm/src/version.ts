/** The build substitutes the package's version. */
declare const VERSION: string;

/** The version of this package. */
export const version: string = VERSION;
