/** Value of a source setting for an installation without the data set. */
export const NO_SOURCE = 'none';
